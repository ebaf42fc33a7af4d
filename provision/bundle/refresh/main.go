// Command refresh brings provision/bundle/catalogue.yaml up to date: it asks the release servers for the newest releases
// and the sums of their files, and the registries for the digests of images, and prints what changed.
//
//	make catalogue
//
// It needs access to the internet. Edit versions and URLs in catalogue.yaml first, and run it with -replace if files are
// to get another sum.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/localhost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], nil, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "refresh:", err)
		os.Exit(1)
	}
}

// run refreshes the file. What could be read is written, also if the rest failed.
func run(ctx context.Context, args []string, client *http.Client, out io.Writer) error {
	flags := flag.NewFlagSet("refresh", flag.ContinueOnError)
	file := flags.String("file", "catalogue.yaml", "path to the catalogue")
	replace := flags.Bool("replace", false, "accept files that differ from their sum in the catalogue")
	if err := flags.Parse(args); err != nil {
		return err
	}
	catalogue, err := bundle.OpenCatalogue(*file)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	refreshed, problems := bundle.Refresh(ctx, catalogue, bundle.RefreshOptions{
		Create: bundle.CreateOptions{Client: client}, Replace: *replace,
		Changed: func(line string) { fmt.Fprintln(out, line) },
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text, err := render(refreshed)
	if err != nil {
		return errors.Join(problems, err)
	}
	if bytes.Equal(before, text) {
		fmt.Fprintln(out, "nothing has changed")
		return problems
	}
	return errors.Join(problems, localhost.WriteFile(*file, text, 0o644))
}
