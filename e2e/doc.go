// Package e2e proves slipway on real machines: it drives the built binary, as a
// user would, against machine containers with a real systemd, sshd and kubelet.
//
// The tests have the build tag e2e, since they need root and a bundle: run them
// with `make e2e`. What they read from the environment:
//
//	SLIPWAY_BIN       the binary (default ../bin/slipway)
//	SLIPWAY_BUNDLE    the bundle to install from; needed
//	SLIPWAY_E2E_LAB   the lab's name (default e2e-PID)
//	SLIPWAY_KEEP_LAB  1 leaves the lab there, to look at after a failure
//	ARTIFACTS         where logs go when something fails (default ../artifacts)
package e2e
