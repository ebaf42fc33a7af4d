package host

// RunUnitIn is RunUnit with another folder than UnitsDir.
var RunUnitIn = runUnit
