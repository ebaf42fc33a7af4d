// Package e2e tests slipway on real machines: it runs the built binary, as a user
// would, against machine containers with a real systemd, sshd and kubelet.
//
// The tests have the build tag e2e, since they need root and a bundle: run them
// with `make e2e`. Only the tests of the client and the writer of TestHA have no tag.
// TestVagrant and TestPowerLoss need virtual machines: run them with
// `make e2e-vagrant` and `make e2e-power`. TestVagrantfile needs Vagrant alone: run it
// with `make vagrant-validate`. TestVersion needs a bundle of another version of
// Kubernetes, and TestARM64 an emulated machine: run them with `make e2e-versions` and
// `make e2e-arm64`. The tests read these environment variables:
//
//	SLIPWAY_BIN       the binary (default ../bin/slipway)
//	SLIPWAY_BUNDLE    the bundle to install from; required
//	SLIPWAY_E2E_LAB   the lab's name (default e2e-PID)
//	SLIPWAY_E2E_BOX   the Vagrant box, for tests on virtual machines
//	SLIPWAY_E2E_ARM64 the files of the emulated machine
//	SLIPWAY_E2E_VERSION
//	                  the version of Kubernetes in the bundle (default: any v1.36)
//	SLIPWAY_KEEP_LAB  1 keeps the lab, to inspect it after a failure
//	SLIPWAY_E2E_BACKUP
//	                  1 runs TestBackup (make e2e-backup)
//	SLIPWAY_E2E_HA    long selects the long form of TestHA (make e2e-ha)
//	ARTIFACTS         the directory for logs after a failure (default ../artifacts)
//
// TestChaos runs only with the first of these:
//
//	SLIPWAY_CHAOS_ROUNDS  the number of rounds, those of earlier runs included
//	SLIPWAY_CHAOS_SEED    selects the moments of the kills (default 1; in the short
//	                      form of CI: the day)
//	SLIPWAY_CHAOS_DIR     the directory of the record, rounds.jsonl, from which a
//	                      later run continues (default ARTIFACTS/chaos)
package e2e
