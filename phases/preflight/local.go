package preflight

// LocalChecks are all that is asked of the installer's own machine.
func LocalChecks() []Check { return nil }
