package facts

import "slices"

// Loads reports whether the kernel has the module, or can load it.
func (f *Facts) Loads(module string) bool {
	return f.Module(module) || slices.Contains(f.Loadable, module)
}

// Lacking returns the modules that the kernel neither has nor can load. One module of
// each list is enough; the first stands for a list without any.
func (f *Facts) Lacking(needed [][]string) []string {
	var lacking []string
	for _, alternatives := range needed {
		if !slices.ContainsFunc(alternatives, f.Loads) && !slices.Contains(lacking, alternatives[0]) {
			lacking = append(lacking, alternatives[0])
		}
	}
	return lacking
}

// FixedKernel reports whether no package brings modules to the host: it is a container,
// which shares the kernel of its computer, or what the kernel has cannot be read.
func (f *Facts) FixedKernel() bool {
	return f.ModulesUnreadable || f.Lacks("modprobe") || f.Exists(SystemdInContainer)
}
