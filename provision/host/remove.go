package host

import "context"

// Remove deletes files. It is no error if one does not exist.
func Remove(ctx context.Context, h Host, paths ...string) error {
	_, err := h.Run(ctx, Cmd{Argv: append([]string{"rm", "-f"}, paths...), Sudo: true})
	return err
}
