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

// sharedSysctls are kernel settings, below /proc/sys, that machines share with
// localhost, and that programs on a machine set: systemd-sysctl, kubelet
// (k8s.io/component-helpers/node/util/sysctl) and slipway. Each machine has its own
// settings of the network.
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

// sysctls are the settings before the first lab.
type sysctls struct {
	// BootID is the boot of localhost in which they were read. They are void after
	// the next one.
	BootID string            `json:"bootID"`
	Values map[string]string `json:"values"`
}

// sysctlPath is shared by all labs of the directory.
func (s *session) sysctlPath() string { return filepath.Join(filepath.Dir(s.dir), "sysctls.json") }

// saveSysctls saves the settings if this is the first lab since the boot of
// localhost.
func (s *session) saveSysctls() error {
	boot, err := proc.bootID()
	if err != nil {
		return err
	}
	saved, err := readSysctls(s.sysctlPath())
	if err != nil || saved.BootID == boot {
		return err
	}
	content, err := json.MarshalIndent(sysctls{BootID: boot, Values: proc.sysctls(sharedSysctls())}, "", "  ")
	if err != nil {
		return err
	}
	return localhost.WriteFile(s.sysctlPath(), append(content, '\n'), 0o600)
}

// restoreSysctls restores the settings after the last lab is deleted.
func (s *session) restoreSysctls() error {
	labs, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "*", "lab.json"))
	if err != nil || len(labs) > 0 {
		return err
	}
	saved, err := readSysctls(s.sysctlPath())
	if err != nil {
		return err
	}
	boot, err := proc.bootID()
	if err != nil {
		return err
	}
	if saved.BootID == boot {
		changed, err := proc.setSysctls(saved.Values)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			s.Logf("", "restores the kernel settings %s", strings.Join(changed, ", "))
		}
	}
	if err := os.Remove(s.sysctlPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readSysctls reads the saved settings; a missing file is the zero value.
func readSysctls(path string) (sysctls, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sysctls{}, nil
	}
	if err != nil {
		return sysctls{}, err
	}
	var saved sysctls
	if err := json.Unmarshal(content, &saved); err != nil {
		return sysctls{}, fmt.Errorf("%s: %w", path, err)
	}
	return saved, nil
}

// sysctls reads the settings that this kernel has.
func (p procfs) sysctls(names []string) map[string]string {
	values := map[string]string{}
	for _, name := range names {
		if value, err := os.ReadFile(filepath.Join(string(p), "sys", name)); err == nil {
			values[name] = string(value)
		}
	}
	return values
}

// setSysctls writes the settings that have other values, and returns their names.
func (p procfs) setSysctls(values map[string]string) ([]string, error) {
	var changed []string
	var errs []error
	for _, name := range sharedSysctls() {
		want, saved := values[name]
		path := filepath.Join(string(p), "sys", name)
		have, err := os.ReadFile(path)
		if !saved || err != nil || string(have) == want {
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
