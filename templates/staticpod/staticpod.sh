#!/bin/sh
# Finds or stops the running containers of a static pod. kubelet starts a container that
# has ended again: the manifest stays where it is, so that nothing is missing if this is
# interrupted.
# Arguments: list NAME       prints their IDs, one a line
#            stop NAME ID... ends those that still run: with SIGTERM, after 30 s with SIGKILL
set -eu
verb=$1 name=$2
shift 2
ctr="/usr/local/bin/ctr --namespace k8s.io"

# kubelet gives a static pod a checksum as its UID. Those of other pods have dashes: they
# may have containers of the same name.
running() {
	filter="labels.\"io.kubernetes.pod.namespace\"==\"kube-system\",labels.\"io.kubernetes.container.name\"==\"$name\""
	containers=$($ctr containers list --quiet "$filter,labels.\"io.kubernetes.pod.uid\"~=\"^[0-9a-f]+$\"")
	tasks=$($ctr tasks list)
	printf '%s\n--\n%s\n' "$containers" "$tasks" | awk '
		$1 == "--" { tasks = 1; next }
		!tasks { wanted[$1]; next }
		$3 == "RUNNING" && $1 in wanted { print $1 }'
}

# Of these, those that still run.
left() {
	running | while read -r id; do
		for wanted; do [ "$id" != "$wanted" ] || echo "$id"; done
	done
}

signal() {
	signal=$1
	shift
	for id; do $ctr tasks kill --signal "$signal" "$id" || true; done # it may have ended meanwhile
}

case $verb in
list) running ;;
stop)
	systemctl is-active --quiet kubelet.service || {
		echo "kubelet does not run, which would start $name again" >&2
		exit 1
	}
	# shellcheck disable=SC2046 # IDs
	signal SIGTERM $(left "$@")
	waited=0
	while [ -n "$(left "$@")" ]; do
		[ "$waited" -lt 150 ] || {
			# shellcheck disable=SC2046 # IDs
			signal SIGKILL $(left "$@")
			break
		}
		waited=$((waited + 1))
		sleep 0.2
	done
	;;
esac </dev/null
