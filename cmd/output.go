package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"slipway.io/slipway/provision/report"
)

// output receives the events of a run: it shows them on the terminal or as JSON
// lines, writes them all to a log, and writes a timeline to an HTML page.
type output struct {
	report.Sink
	app      *app
	screen   report.SinkCloser
	recorder *report.Recorder
	plan     bool
	log      *os.File
	html     string
	failed   atomic.Bool
	changes  atomic.Int64 // of the whole run
	name     string       // of the run
	// finished is the end of the workflows so far: those that follow one another are one
	// run to everybody who reads the events.
	finished *report.Event
	deferred atomic.Int64 // differences that the run does not change
}

func (a *app) output(run string, plan bool) (*output, error) {
	o := &output{app: a, recorder: &report.Recorder{}, plan: plan, name: run}
	switch {
	case a.json():
		o.screen = report.JSON(a.out)
	default:
		o.screen = report.Text(a.err, report.Options{Verbose: a.settings.GetBool("verbose")})
	}
	sinks := []report.Sink{o.visible(), o.recorder}
	dir, err := runsDir()
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, time.Now().Format("20060102-150405")+"-"+run)
	if o.log, err = os.OpenFile(name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	o.html = name + ".html"
	o.Sink = report.Multi(append(sinks, report.Log(o.log))...)
	return o, nil
}

// visible is the sink of the screen. The changes of a plan are its result, which
// close prints by host.
func (o *output) visible() report.Sink {
	if !o.plan || o.app.json() {
		return o.screen
	}
	return report.SinkFunc(func(e report.Event) {
		if e.Kind != report.Change {
			o.screen.Event(e)
		}
	})
}

// runsDir is the directory with the log and the report of each run.
func runsDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	dir := filepath.Join(cache, "slipway", "runs")
	return dir, os.MkdirAll(dir, 0o700)
}

// Event implements report.Sink.
func (o *output) Event(e report.Event) {
	if e.Kind == report.PhaseFailed || e.Kind == report.RunFinished && e.Error != "" {
		o.failed.Store(true)
	}
	if e.Kind == report.Deferred {
		o.deferred.Add(1)
	}
	e.Run = o.name
	switch {
	case e.Kind == report.RunStarted && o.finished != nil:
		return
	case e.Kind == report.RunFinished:
		if before := o.finished; before != nil {
			e.Changes, e.Seconds = e.Changes+before.Changes, e.Seconds+before.Seconds
		}
		o.changes.Store(int64(e.Changes))
		o.finished = &e
		return
	}
	o.Sink.Event(e)
}

// close ends the live view, and writes the report and the summary.
func (o *output) close() error {
	if o.finished != nil {
		o.Sink.Event(*o.finished)
	}
	err := o.screen.Close()
	events := o.recorder.Events()
	page, openErr := os.OpenFile(o.html, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if openErr != nil {
		return openErr
	}
	if e := report.HTML(page, events); e != nil && err == nil {
		err = e
	}
	if e := page.Close(); e != nil && err == nil {
		err = e
	}
	if e := o.log.Close(); e != nil && err == nil {
		err = e
	}
	if o.app.json() {
		return err
	}
	summary := report.Timeline
	if o.plan {
		summary = report.Plan
	}
	if e := summary(o.app.out, events); e != nil && err == nil {
		err = e
	}
	fmt.Fprintf(o.app.err, "log: %s\nreport: %s\n", o.log.Name(), o.html)
	return err
}
