package systemd

// RunIn is Run with another directory than UnitsDir.
var RunIn = run
