package main

import "strings"

// imageSpec describes the content of an image.
type imageSpec struct {
	// repository is the image's name without its tag; the tag is that of pins.yaml.
	repository string
	// debian puts the image on the base of Debian packages; otherwise it has its own files only.
	debian bool
	// files are the programs in the image: path in the image, and component/command.
	files map[string]string
	// capable names the file that may bind ports below 1024 whoever runs it.
	capable string
	// directories are empty and writable by everybody.
	directories []string
	// links are symbolic links: path in the image, and target.
	links map[string]string
	// scripts are directories of components' modules: directory in the image, and component/directory.
	scripts map[string]string
	// env is set in addition to PATH.
	env        []string
	entrypoint []string
	cmd        []string
	// user is uid:gid; empty is root.
	user string
}

// imagePath is the PATH of every image, the one of most released images.
const imagePath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// imageSpecs lists the images which have the layout of the released ones.
func imageSpecs() []imageSpec {
	specs := []imageSpec{
		{
			repository: "registry.k8s.io/etcd",
			files: map[string]string{
				"usr/local/bin/etcd":    "etcd/etcd",
				"usr/local/bin/etcdctl": "etcd/etcdctl",
				"usr/local/bin/etcdutl": "etcd/etcdutl",
			},
			cmd: []string{"etcd"},
		},
		{
			// kubeadm's Deployment names no user and adds NET_BIND_SERVICE alone. The released image runs as
			// an ordinary user and may bind port 53 by a file capability, and so does this one.
			// Both also rely on containerd's enable_unprivileged_ports (on by default since 2.0) where
			// allowPrivilegeEscalation is false, because the kernel then ignores file capabilities.
			repository: "registry.k8s.io/coredns/coredns",
			files:      map[string]string{"coredns": "coredns/coredns"},
			capable:    "coredns",
			entrypoint: []string{"/coredns"},
			user:       "65532:65532",
		},
		{
			repository: "registry.k8s.io/kube-proxy",
			debian:     true,
			files:      map[string]string{"usr/local/bin/kube-proxy": "kubernetes/kube-proxy"},
			entrypoint: []string{"/usr/local/bin/kube-proxy"},
		},
		{
			repository: "registry.k8s.io/pause",
			files:      map[string]string{"pause": "pause/pause"},
			entrypoint: []string{"/pause"},
			user:       "65535:65535",
		},
		{
			repository:  "registry.k8s.io/e2e-test-images/agnhost",
			debian:      true, // for the shell and the network tools that tests run in it
			files:       map[string]string{"agnhost": "kubernetes/agnhost"},
			links:       map[string]string{"agnhost-2": "agnhost"},
			directories: []string{"uploads"},
			entrypoint:  []string{"/agnhost"},
			cmd:         []string{"pause"},
		},
		{
			repository: "ghcr.io/flannel-io/flannel",
			debian:     true,
			files:      map[string]string{"opt/bin/flanneld": "flannel/flannel"},
			entrypoint: []string{"/opt/bin/flanneld"},
		},
		{
			repository: "ghcr.io/flannel-io/flannel-cni-plugin",
			debian:     true, // for cp, which the DaemonSet's init container runs
			files:      map[string]string{"flannel": "flannel-cni-plugin/flannel"},
		},
	}
	specs = append(append(specs, addonSpecs()...), calicoSpecs()...)
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		specs = append(specs, imageSpec{
			repository: "registry.k8s.io/" + name,
			files:      map[string]string{"usr/local/bin/" + name: "kubernetes/" + name},
			entrypoint: []string{"/usr/local/bin/" + name},
		})
	}
	return specs
}

// addonSpecs lists the images of addons.
func addonSpecs() []imageSpec {
	return []imageSpec{
		{
			repository: "docker.io/rancher/local-path-provisioner",
			files:      map[string]string{"usr/bin/local-path-provisioner": "local-path-provisioner/local-path-provisioner"},
			entrypoint: []string{"/usr/bin/local-path-provisioner"},
		},
		{
			// Its shell creates and removes the provisioner's directories.
			repository: "docker.io/library/busybox",
			debian:     true,
			cmd:        []string{"sh"},
		},
		{
			repository: "docker.io/library/traefik",
			files:      map[string]string{"usr/local/bin/traefik": "traefik/traefik"},
			entrypoint: []string{"/usr/local/bin/traefik"},
		},
		{
			repository: "quay.io/metallb/controller",
			files:      map[string]string{"controller": "metallb/controller"},
			entrypoint: []string{"/controller"},
		},
		{
			repository: "quay.io/metallb/speaker",
			files:      map[string]string{"speaker": "metallb/speaker"},
			entrypoint: []string{"/speaker"},
		},
		{
			repository: "registry.k8s.io/metrics-server/metrics-server",
			files:      map[string]string{"metrics-server": "metrics-server/metrics-server"},
			entrypoint: []string{"/metrics-server"},
			user:       "65534:65534",
		},
	}
}

// specFor is the spec of an image given by its full reference.
func specFor(specs []imageSpec, reference string) (imageSpec, bool) {
	for _, spec := range specs {
		if strings.HasPrefix(reference, spec.repository+":") {
			return spec, true
		}
	}
	return imageSpec{}, false
}

// foundation is the lowest layer of every image that has no other: the accounts that images run as, and /tmp.
func foundation() tree {
	t := tree{}
	t.add("tmp", entry{dir: true, mode: 0o1777})
	t.add("etc/passwd", entry{mode: 0o644, body: []byte("root:x:0:0:root:/root:/sbin/nologin\n" +
		"nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
		"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")})
	t.add("etc/group", entry{mode: 0o644, body: []byte("root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n")})
	return t
}

// layer is what the image has beside its base. programs are the directories of built components.
func (s imageSpec) layer(programs map[string]string) tree {
	t := tree{}
	for name, program := range s.files {
		component, command, _ := strings.Cut(program, "/")
		e := entry{mode: 0o755, source: programs[component] + "/" + command}
		if name == s.capable {
			e.capability = bindLowPorts()
		}
		t.add(name, e)
	}
	for name, target := range s.links {
		t.add(name, entry{link: target})
	}
	for _, name := range s.directories {
		t.add(name, entry{dir: true, mode: 0o1777})
	}
	return t
}
