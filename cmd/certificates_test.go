package cmd

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/viper"

	"slipway.io/slipway/phases/status"
)

func TestTheStatusShowsCertificatesOfTheSameAgeInOneRow(t *testing.T) {
	t.Parallel()
	of := func(days int) []status.Certificate {
		return []status.Certificate{
			{Path: "/etc/kubernetes/admin.conf", DaysLeft: days, RenewedBy: "slipway", Due: days < 60},
			{Path: "/etc/kubernetes/pki/ca.crt", DaysLeft: 3000, RenewedBy: "you"},
		}
	}
	var out bytes.Buffer
	a := &app{out: &out, settings: viper.New()}
	err := a.showCertificates(status.Status{Hosts: []status.Host{
		{Name: "cp-1", Certificates: of(364)}, {Name: "cp-2", Certificates: of(30)}, {Name: "cp-3", Certificates: of(364)}, {Name: "cp-4", Certificates: of(-1)}, {Name: "w-1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `         CERTIFICATE                 DAYS LEFT  RENEWED BY  HOSTS
failed   /etc/kubernetes/admin.conf  -1         slipway     cp-4
warning  /etc/kubernetes/admin.conf  30         slipway     cp-2
ok       /etc/kubernetes/admin.conf  364        slipway     cp-1, cp-3
ok       /etc/kubernetes/pki/ca.crt  3000       you         cp-1, cp-2, cp-3, cp-4
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
