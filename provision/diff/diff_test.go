package diff_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/diff"
)

func TestTextShowsWhatChanges(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("line\n", 250)
	tests := []struct {
		name          string
		before, after []byte
		want          string
	}{
		{"a changed line", []byte("a\nb\nc\n"), []byte("a\nB\nc\n"), "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c"},
		{"equal texts", []byte("a\n"), []byte("a\n"), ""},
		{"no text before", nil, []byte("a\nb\n"), "+a\n+b"},
		{"an empty text before", []byte{}, []byte("a\n"), "+a"},
		{"no line end", []byte("a"), []byte("a\n"), "@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a"},
		{"a binary content", []byte("\x7fELF\x00"), []byte("a"), "binary content: 5 → 1 bytes"},
		{"another encoding", nil, []byte("\xff\xfe"), "binary content: 2 bytes"},
		{"a large content", []byte("a"), []byte(strings.Repeat("x", diff.MaxSize+1)), "large content: 1 → 65537 bytes"},
		{"many lines", nil, []byte(long), strings.Repeat("+line\n", 200) + "… 50 more lines"},
		{"a long line", nil, []byte(strings.Repeat("x", 600)), "+" + strings.Repeat("x", 499) + "…\n\\ No newline at end of file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, diff.Text(test.before, test.after)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// secret is what no diff may show.
const secret = "S3cr3tValue1"

// Each text has a secret at %s. The other words of the text stay.
var secretTexts = map[string]string{
	"a YAML scalar":                            "kept: 1\npassword: %s\n",
	"a quoted YAML scalar":                     "kept: 1\npassword: \"%s\"\n",
	"a YAML scalar of several lines":           "kept: 1\npassword: first\n  %s\n",
	"a quoted YAML scalar of lines":            "kept: 1\npassword: \"first\n  %s\"\n",
	"a block of YAML":                          "kept: 1\ntoken: |\n  first\n  %s\nlast: 1\n",
	"a list of YAML":                           "kept: 1\ntokens:\n- first\n- %s\n",
	"an indented list of YAML":                 "kept: 1\ntokens:\n  - first\n  - %s\n",
	"a flow list of YAML":                      "kept: 1\ntokens: [first, %s]\n",
	"an item of a list of maps":                "kept: 1\nbootstrapTokens:\n- ttl: 1h\n  token: %s\n",
	"a value with a name":                      "kept: 1\n- name: DB_PASSWORD\n  value: %s\n",
	"a value with a name, in JSON":             `{"kept": 1, "env": [{"name":"DB_PASSWORD","value":"%s"}]}`,
	"JSON":                                     `{"kept": 1, "apiKey": "%s"}`,
	"JSON without spaces":                      `{"kept":1,"token":"%s","other":2}`,
	"JSON with an escaped quote":               `{"kept":1,"token":"a\"%s","other":2}`,
	"JSON in a string":                         `kept: 1` + "\n" + `config: "{\"auths\":{\"r\":{\"auth\":\"%s\"}}}"` + "\n",
	"a configuration of docker":                `{"kept": 1, "auths": {"registry.example": {"auth": "%s"}}}`,
	"the credentials of containerd":            "kept = 1\n[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'r'.auth]\n  identitytoken = '%s'\n",
	"an inline table of TOML":                  "kept = 1\nauth = {username = \"u\", password = \"%s\"}\n",
	"a header of containerd":                   "kept = 1\n[host.\"https://r\".header]\n  Authorization = \"Basic %s\"\n",
	"a header of any name":                     "kept = 1\n[host.\"https://r\".header]\n  X-Custom = [\"%s\"]\n",
	"a header with lines":                      "kept = 1\n[host.\"https://r\".header]\n  authorization = [\n    \"first\",\n    \"%s\",\n  ]\n",
	"a TOML string with lines":                 "kept = 1\ntoken = '''\nfirst\n%s\n'''\nlast = 1\n",
	"an environment file":                      "KEPT=1\nDB_PASS=%s\n",
	"a systemd unit":                           "kept\nEnvironment=\"DB_PASS=a,%s\" OTHER=1\n",
	"a continued line":                         "kept\nExecStart=/bin/x --token=first\\\n%s\n",
	"a flag":                                   "kept\nexec /bin/x --token=%s\n",
	"a flag with a space":                      "kept\nexec /bin/x --admin-password %s\n",
	"a mount option":                           "//kept/share /mnt cifs username=u,password=%s 0 0\n",
	"a proxy with a password":                  "kept\nHTTPS_PROXY=http://user:%s@proxy.example:3128\n",
	"a header of HTTP":                         "kept\ncurl -H 'Authorization: Bearer %s' https://x\n",
	"a bearer token in a list":                 "kept\n- Bearer %s\n",
	"a private key":                            "kept\n-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----\n",
	"a private key without an end":             "kept\n-----BEGIN PRIVATE KEY-----\n%s\n",
	"the key of a kubeconfig":                  "kept: 1\nclient-key-data: %s\n",
	"the key of the certificates of kubeadm":   "kept: 1\ncertificateKey: %s\n",
	"a key whose name has capitals":            "kept: 1\nadminPassword: %s\n",
	"a carriage return":                        "kept: 1\r\npassword: %s\r\n",
	"a secret after a word that is not secret": "kept: 1\nsecretName: x\npassword: %s\n",
}

func TestTextHidesSecretsAndShowsThatTheyChange(t *testing.T) {
	t.Parallel()
	for name, text := range secretTexts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := fmt.Sprintf(text, secret), fmt.Sprintf(text, "Other"+secret)
			for _, got := range []string{
				diff.Text(nil, []byte(before)), diff.Text([]byte(before), []byte(after)), diff.Text([]byte(after), []byte{}),
				diff.Text([]byte(strings.ReplaceAll(before, "kept", "KEPT")), []byte(after)),
			} {
				if strings.Contains(got, secret) {
					t.Errorf("the diff shows the secret:\n%s", got)
				}
				if !strings.Contains(got, "(sensitive value)") {
					t.Errorf("the diff does not show that there is a secret:\n%s", got)
				}
			}
			if got := diff.Text(nil, []byte(before)); !strings.Contains(strings.ToLower(got), "kept") {
				t.Errorf("the diff hides the rest:\n%s", got)
			}
			got := diff.Text([]byte(before), []byte(strings.Replace(before, "kept", "keep", 1)))
			if strings.Contains(got, secret) {
				t.Errorf("the context shows the secret:\n%s", got)
			}
		})
	}
}

func TestTextHidesKeysInBase64(t *testing.T) {
	t.Parallel()
	for name, hidden := range map[string]bool{"RSA PRIVATE KEY": true, "PRIVATE KEY": true, "EC PRIVATE KEY": true, "CERTIFICATE": false} {
		text := base64.StdEncoding.EncodeToString([]byte("-----BEGIN " + name + "-----\nMIIEpAIBAAKCAQEA\n-----END " + name + "-----\n"))
		got := diff.Text(nil, []byte("data: "+text+"\n"))
		if strings.Contains(got, text) == hidden {
			t.Errorf("%s: got %s", name, got)
		}
	}
	for _, token := range []string{"abcdef.0123456789abcdef", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2lnbmF0dXJl"} {
		if got := diff.Text(nil, []byte("x "+token+"\n")); strings.Contains(got, token) {
			t.Errorf("got %s", got)
		}
	}
}

func TestTextShowsWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"secretName: tls", "automountServiceAccountToken: false", "enable-bootstrap-token-auth: \"true\"", "authorization-mode: Node,RBAC",
		"tokenTTL: 15m", "token-auth-file: /etc/kubernetes/tokens.csv", "authentication:", "image: registry.example/token:v1",
		"tls-private-key-file: /etc/kubernetes/pki/apiserver.key", "client-ca-file=/etc/kubernetes/pki/ca.crt", "maxPods: 50",
		"SystemdCgroup = true", "192.0.2.11 cp-1", "# Basic settings", "url: http://proxy.example:3128/a@b",
	} {
		if got := diff.Text(nil, []byte(line+"\n")); got != "+"+line {
			t.Errorf("got %s, want %s", got, line)
		}
	}
}

func TestNestedKeysUnderASecretKeyAreShown(t *testing.T) {
	t.Parallel()
	const text = "bootstrapTokens:\n  # a comment\nauthorization:\n  mode: Webhook\n  webhook:\n    cacheAuthorizedTTL: 0s\nsecret:\n  secretName: x\n"
	if got := diff.Text(nil, []byte(text)); strings.Contains(got, "sensitive") {
		t.Errorf("got %s", got)
	}
}

func TestHiddenShowsOnlyThatAContentChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		before, after []byte
		want          string
	}{
		{nil, []byte("a"), "+(sensitive value)"},
		{[]byte("a"), []byte("b"), "-(sensitive value)\n+(sensitive value)"},
		{[]byte("a"), []byte("a"), ""},
	} {
		if got := diff.Hidden(test.before, test.after); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestObjectsHideSecrets(t *testing.T) {
	t.Parallel()
	object := func(kind, value string) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "kept", "annotations": map[string]any{"config": `{"token":"` + value + `"}`}},
			"data": map[string]any{"password": value, "config.yaml": "kept: 1\ntoken: " + value + "\n", "tokens": map[string]any{"a": value}, "pin": map[string]any{"password": 12345678}},
			"spec": map[string]any{
				"env":  []any{map[string]any{"name": "DB_PASSWORD", "value": value}, map[string]any{"name": "KEPT", "value": "shown"}},
				"args": []any{"--password", value, "--token=" + value, "--kept"},
			},
		}
	}
	got, err := diff.Objects(object("ConfigMap", secret), object("ConfigMap", "Other"+secret))
	if err != nil || strings.Contains(got, secret) || strings.Contains(got, "12345678") {
		t.Errorf("%v, got\n%s", err, got)
	}
	if n := strings.Count(got, "\n+"); n != 7 {
		t.Errorf("%d lines change:\n%s", n, got)
	}
	for _, kept := range []string{"shown", "--kept", "kept: 1"} {
		if !strings.Contains(got, kept) {
			t.Errorf("no %s in\n%s", kept, got)
		}
	}
	added, err := diff.Objects(nil, object("ConfigMap", secret))
	if err != nil || strings.Contains(added, secret) || !strings.HasPrefix(added, "+apiVersion: v1\n") {
		t.Errorf("%v, got\n%s", err, added)
	}
}

func TestAllDataOfASecretIsHidden(t *testing.T) {
	t.Parallel()
	object := func(value string) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": map[string]any{"name": "kept"},
			"data": map[string]any{"harmless": value}, "stringData": map[string]any{"bool": fmt.Sprint(value == "two")},
		}
	}
	got, err := diff.Objects(object("one"), object("two"))
	want := ` apiVersion: v1
 data:
-  harmless: (sensitive value)
+  harmless: (sensitive value)
 kind: Secret
 metadata:
   name: kept
 stringData:
-  bool: (sensitive value)
+  bool: (sensitive value)
 type: Opaque`
	if _, got, _ := strings.Cut(got, "\n"); err != nil || got != want {
		t.Errorf("%v, got\n%s", err, got)
	}
}

func FuzzText(f *testing.F) {
	for _, text := range secretTexts {
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, before, after string) { diff.Text([]byte(before), []byte(after)) })
}
