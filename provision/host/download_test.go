package host_test

import (
	"bytes"
	"strings"
	"testing"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

func expectPart(fake *hosttest.Fake, part, content string) {
	fake.ExpectQuery("dd", "if=/backup.db", "bs=8388608", "skip="+part, "count=1", "iflag=fullblock", "status=none").Returns(content)
}

func TestDownloadReadsALargeFileInParts(t *testing.T) {
	t.Parallel()
	whole, rest := strings.Repeat("x", 8<<20), "the end"
	fake := hosttest.NewFake(t, "cp-1")
	expectPart(fake, "0", whole)
	expectPart(fake, "1", rest)
	var got bytes.Buffer
	var reports []int64
	err := host.Download(t.Context(), fake, "/backup.db", 8<<20+7, &got, func(done int64) { reports = append(reports, done) })
	if err != nil || got.String() != whole+rest || len(reports) != 2 || reports[1] != 8<<20+7 {
		t.Errorf("%d bytes, %v, %v", got.Len(), reports, err)
	}
}

func TestDownloadRefusesATruncatedFile(t *testing.T) {
	t.Parallel()
	fake := hosttest.NewFake(t, "cp-1")
	expectPart(fake, "0", "short")
	err := host.Download(t.Context(), fake, "/backup.db", 100, &bytes.Buffer{}, func(int64) {})
	if err == nil || !strings.Contains(err.Error(), "5 bytes instead of 100") {
		t.Errorf("got %v", err)
	}
}
