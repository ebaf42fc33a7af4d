package config

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
)

var (
	// plainPath are the paths that the journal of a host can record.
	plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._@:+-]+)+$`)
	// calendar are the characters of systemd's calendar events (systemd.time). The hosts
	// check the rest.
	calendar = regexp.MustCompile(`^[A-Za-z0-9 *:,./~_+-]+$`)
)

// deleted are directories that a reset or a boot deletes, or that others own.
var deleted = []string{"/etc", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/slipway", "/var/lib/containerd", "/run", "/tmp", "/var/run", "/proc", "/sys", "/dev"}

func (v *validator) backup() {
	b := v.c.Backup
	if b.Schedule != "" && !calendar.MatchString(b.Schedule) {
		v.report("backup.schedule", "use a calendar event of systemd, such as daily or *-*-* 03:30", "%q is not a calendar event", b.Schedule)
	}
	if b.Directory != "" {
		inside := slices.ContainsFunc(deleted, func(dir string) bool { return b.Directory == dir || strings.HasPrefix(b.Directory, dir+"/") })
		switch {
		case !plainPath.MatchString(b.Directory) || b.Directory != path.Clean(b.Directory):
			v.report("backup.directory", "use an absolute path without spaces, such as /var/backups/slipway", "%q cannot be used", b.Directory)
		case inside:
			v.report("backup.directory", "use another directory, such as /var/backups/slipway", "backups do not stay in %s", b.Directory)
		}
	}
	for i, recipient := range b.Recipients {
		if _, err := age.ParseRecipients(strings.NewReader(recipient)); err != nil {
			v.report(item("backup.recipients", i), "use a public key of age, as age-keygen prints it (age1…)", "it is not a public key of age")
		}
	}
}
