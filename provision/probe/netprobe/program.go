package netprobe

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
)

//go:embed embedded
var embedded embed.FS

// ErrNoProbe: this binary does not embed the agent for the architecture.
var ErrNoProbe = errors.New("this slipway was built without the network probe; build slipway with make build")

// program is the agent for one architecture, compressed with gzip.
type program struct {
	content []byte
	sha256  string
}

// embeddedProgram returns the agent that this binary embeds.
func embeddedProgram(arch string) (program, error) {
	content, err := embedded.ReadFile("embedded/probe-linux-" + arch + ".gz")
	if err != nil {
		return program{}, fmt.Errorf("%w (%s)", ErrNoProbe, arch)
	}
	return newProgram(content), nil
}

func newProgram(content []byte) program {
	sum := sha256.Sum256(content)
	return program{content, hex.EncodeToString(sum[:])}
}
