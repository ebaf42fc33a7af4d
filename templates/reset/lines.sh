#!/bin/sh
# Undoes single lines of a file: removes the block of the cluster's nodes, and the
# marks that comment lines out. Lines of others stay.
# Arguments: journal directory, path.
set -eu
journal=$1 path=$2
[ -f "$path" ] || exit 0
new=$path.slipway-undo
cp -a "$path" "$new"
end=
[ -n "$(tail -c 1 "$path")" ] || end='\n'
awk -v end="$end" '
{ line[NR] = $0 }
END {
	for (i = 1; i <= NR; i++) {
		if (line[i] ~ /^# slipway [^ ]+ begin/) {
			split(line[i], word, " ")
			last = "# slipway " word[3] " end"
			for (j = i + 1; j <= NR && index(line[j], last) != 1; j++);
			# Without its last line, a first line does not start a block.
			if (j <= NR) i = j
			continue
		}
		sub(/^# slipway: swap off: /, "", line[i])
		printf "%s%s", separator, line[i]
		separator = "\n"
	}
	if (separator != "") printf "%s", end
}' "$path" >"$new"
# The saved copy also has the times of the file.
if cmp -s "$new" "$journal/before$path"; then
	cp -a "$journal/before$path" "$new"
fi
if ! cmp -s "$new" "$path"; then
	sync "$new"
	mv -T "$new" "$path"
fi
rm -f "$new"
