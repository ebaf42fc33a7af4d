package backup

import (
	"context"
	"encoding/json"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/systemd"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/templates"
)

// The files of the timer on a host.
const (
	timer     = "slipway-backup.timer"
	timerFile = string(facts.BackupTimer)
	unitFile  = "/etc/systemd/system/slipway-backup.service"
	program   = "/usr/local/lib/slipway/etcd-backup.sh"
	fixedFile = "/usr/local/lib/slipway/etcd-backup.json"
)

// Timer makes the hosts that run etcd save snapshots by themselves.
func Timer() workflow.Phase {
	return workflow.Phase{
		Name:  "backup-timer",
		Title: "schedule backups of etcd",
		Why: "A backup that somebody must remember is old when it is needed. Each host that runs etcd saves its own, so that one " +
			"disk is enough. Private keys are not in these backups.",
		Manual: []string{
			"cp etcd-backup.sh /usr/local/lib/slipway/",
			"cp slipway-backup.service slipway-backup.timer /etc/systemd/system/",
			"systemctl daemon-reload && systemctl enable --now slipway-backup.timer",
		},
		On: workflow.Where("each host that runs etcd", func(h *workflow.Host) bool {
			return h.Config.Has(config.RoleControlPlane) || h.Config.Has(config.RoleEtcd)
		}),
		Needs:   []string{"kubeadm-init", "join-control-plane", "etcd-host"},
		Creates: []string{"/var/backups/"},
		Do: func(ctx context.Context, s *workflow.Step) error {
			if wanted(s) {
				return schedule(ctx, s)
			}
			return unschedule(ctx, s)
		},
	}
}

// wanted reports whether the host of the step has a timer.
func wanted(s *workflow.Step) bool {
	c := s.Cluster()
	return c.Backup.Schedule != "" && (!c.ExternalEtcd() || s.Target.Config.Has(config.RoleEtcd))
}

func schedule(ctx context.Context, s *workflow.Step) error {
	c := s.Cluster()
	fixed, err := json.Marshal(cluster.FixedOf(c))
	if err != nil {
		return err
	}
	data := map[string]any{
		"Cluster": c.Metadata.Name, "Host": s.Target.Config.Name, "Version": s.Version(), "Directory": c.Backup.Directory,
		"Retention": c.Backup.Retention, "Schedule": c.Backup.Schedule, "Script": program, "Fixed": fixedFile,
	}
	service, err := templates.Render("backup/slipway-backup.service.tmpl", data)
	if err != nil {
		return err
	}
	unit, err := templates.Render("backup/slipway-backup.timer.tmpl", data)
	if err != nil {
		return err
	}
	changed, err := host.EnsureFiles(
		ctx, s,
		host.File{Path: program, Content: templates.Script("etcd/backup.sh")},
		host.File{Path: fixedFile, Content: append(fixed, '\n')},
		host.File{Path: unitFile, Content: service},
		host.File{Path: timerFile, Content: unit},
	)
	if err != nil {
		return err
	}
	if !changed {
		return (systemd.Service{Name: timer}).Ensure(ctx, s)
	}
	start := host.Script("backup-timer.sh", templates.Script("backup/timer.sh"), timer, c.Backup.Schedule)
	start.Undo = []string{"systemctl", "disable", "--quiet", "--now", timer}
	_, err = s.Run(ctx, start)
	return workflow.WithHint(err, "correct backup.schedule in the inventory, and rerun `slipway apply`")
}

// unschedule deletes the timer of an earlier apply. The backups stay.
func unschedule(ctx context.Context, s *workflow.Step) error {
	if !s.Facts().Exists(facts.BackupTimer) {
		return nil
	}
	if _, err := s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "disable", "--quiet", "--now", timer}, Sudo: true}); err != nil {
		return err
	}
	if err := host.Remove(ctx, s, timerFile, unitFile, program, fixedFile); err != nil {
		return err
	}
	_, err := s.Run(ctx, host.Cmd{Argv: []string{"systemctl", "daemon-reload"}, Sudo: true})
	return err
}
