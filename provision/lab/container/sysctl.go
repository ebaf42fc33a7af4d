package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"slipway.io/slipway/provision/localhost"
)

// sharedSysctls are kernel settings, below /proc/sys, that all machines share
// with the outer one and that something in a machine may set: systemd-sysctl
// with Debian's files, kubelet (k8s.io/component-helpers/node/util/sysctl) and
// an installer. Those of the network are each machine's own.
func sharedSysctls() []string {
	return []string{
		"fs/aio-max-nr", "fs/file-max", "fs/nr_open",
		"fs/inotify/max_queued_events", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
		"fs/protected_fifos", "fs/protected_hardlinks", "fs/protected_regular", "fs/protected_symlinks",
		"kernel/core_pattern", "kernel/core_uses_pid", "kernel/panic", "kernel/panic_on_oops", "kernel/pid_max",
		"kernel/printk", "kernel/sysrq", "kernel/threads-max",
		"kernel/keys/maxbytes", "kernel/keys/maxkeys", "kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys",
		"vm/max_map_count", "vm/overcommit_memory", "vm/panic_on_oom", "vm/swappiness",
	}
}

// sysctls is what the settings were before the first lab.
type sysctls struct {
	// BootID is the boot of the outer machine that they belong to: the next
	// one starts with its own.
	BootID string            `json:"bootID"`
	Values map[string]string `json:"values"`
}

// sysctlPath is shared by all labs of the folder.
func (s *session) sysctlPath() string { return filepath.Join(filepath.Dir(s.dir), "sysctls.json") }

// keepSysctls writes the settings down if this is the first lab since the boot
// of the outer machine.
func (s *session) keepSysctls() error {
	boot, err := proc.bootID()
	if err != nil {
		return err
	}
	kept, err := readSysctls(s.sysctlPath())
	if err != nil || kept.BootID == boot {
		return err
	}
	content, err := json.MarshalIndent(sysctls{BootID: boot, Values: proc.sysctls(sharedSysctls())}, "", "  ")
	if err != nil {
		return err
	}
	return localhost.WriteFile(s.sysctlPath(), append(content, '\n'), 0o600)
}

// restoreSysctls puts the settings back once the last lab is gone.
func (s *session) restoreSysctls() error {
	labs, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "*", "lab.json"))
	if err != nil || len(labs) > 0 {
		return err
	}
	kept, err := readSysctls(s.sysctlPath())
	if err != nil {
		return err
	}
	boot, err := proc.bootID()
	if err != nil {
		return err
	}
	if kept.BootID == boot {
		changed, err := proc.setSysctls(kept.Values)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			s.Say("", "restored the kernel settings %s", strings.Join(changed, ", "))
		}
	}
	if err := os.Remove(s.sysctlPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readSysctls reads what was kept; a missing file is the zero value.
func readSysctls(path string) (sysctls, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sysctls{}, nil
	}
	if err != nil {
		return sysctls{}, err
	}
	var kept sysctls
	if err := json.Unmarshal(content, &kept); err != nil {
		return sysctls{}, fmt.Errorf("%s: %w", path, err)
	}
	return kept, nil
}

// sysctls reads those of the settings that this kernel has.
func (p procfs) sysctls(names []string) map[string]string {
	values := map[string]string{}
	for _, name := range names {
		if value, err := os.ReadFile(filepath.Join(string(p), "sys", name)); err == nil {
			values[name] = string(value)
		}
	}
	return values
}

// setSysctls writes those that have another value, and names them.
func (p procfs) setSysctls(values map[string]string) ([]string, error) {
	var changed []string
	var errs []error
	for _, name := range sharedSysctls() {
		want, kept := values[name]
		path := filepath.Join(string(p), "sys", name)
		have, err := os.ReadFile(path)
		if !kept || err != nil || string(have) == want {
			continue
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("restore the kernel setting %s: %w", name, err))
			continue
		}
		changed = append(changed, name)
	}
	return changed, errors.Join(errs...)
}
