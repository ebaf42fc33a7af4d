package facts

import "testing"

func TestFactsThatTheScriptDoesNotReadPanic(t *testing.T) {
	t.Parallel()
	f := &Facts{Existing: []Path{Journal}, Sysctls: map[Sysctl]string{IPForward: "1"}}
	if !f.Exists(Journal) || f.Exists(EtcdMember) {
		t.Error("Exists is wrong about a path that the script tests")
	}
	if value, ok := f.Sysctl(IPForward); value != "1" || !ok {
		t.Errorf("Sysctl: %q, %v", value, ok)
	}
	if _, ok := f.Sysctl(InotifyWatches); ok {
		t.Error("a setting that the kernel lacks has a value")
	}
	for name, read := range map[string]func(){
		"a path":    func() { f.Exists("/etc/passwd") },
		"a setting": func() { f.Sysctl("kernel.ostype") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("want a panic")
				}
			}()
			read()
		})
	}
}
