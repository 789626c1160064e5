package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/yupiao/yupiao/configs/nats"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/testkit"
)

const root = "../.."

func project(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

const token = "0123456789abcdef0123456789abcdef"

// whole is the environment that docker-compose.yml asks for.
func whole() []string {
	env := []string{"YUPIAO_ADMIN_TOKEN=" + token, "GRAFANA_PASSWORD=secret"}
	for party, variable := range nats.Parties {
		env = append(env, variable+"="+password(party))
	}
	slices.Sort(env)
	return env
}

func password(p nats.Party) string { return "password-of-" + string(p) }

// docker-compose.yml describes what Start starts: as many servers, nodes and backends, with settings that the programs accept, files that are there, and pinned images.
func TestCompose(t *testing.T) {
	for i, secret := range whole() {
		name, _, _ := strings.Cut(secret, "=")
		if _, err := project(t, slices.Delete(whole(), i, i+1)...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	p, err := project(t, whole()...)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for name, s := range p.Services {
		kind, _, _ := strings.Cut(name, "-")
		count[kind]++
		if s.Build == nil && (!strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest")) {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s to all the world", name, port.Published)
			}
		}
		confined(t, name, &s)
		settle(t, name, kind, &s)
	}
	want := map[string]int{"nats": Servers, "node": Nodes, "bookingd": 1, "balancer": 1, "postgres": 1, "prometheus": 1, "grafana": 1}
	if !reflect.DeepEqual(count, want) {
		t.Errorf("services %v; want %v", count, want)
	}
}

// confined: no service is root, or can do more than it needs to; each says whether it is well, by a path that its program serves.
func confined(t *testing.T, name string, s *types.ServiceConfig) {
	t.Helper()
	if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || strings.Trim(uid, "0123456789") != "" || strings.Trim(uid, "0") == "" {
		t.Errorf("%s: user is %q; want a number other than 0", name, s.User)
	}
	if !s.ReadOnly && len(s.Secrets) == 0 || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("%s can do more than it needs to", name)
	}
	if s.ReadOnly && len(s.Secrets) > 0 {
		t.Errorf("%s: a secret from the environment cannot be written into a read-only container", name)
	}
	if s.HealthCheck == nil {
		t.Errorf("%s has no health check", name)
		return
	}
	check := s.HealthCheck.Test[len(s.HealthCheck.Test)-1]
	wants := map[string]string{
		"postgres": "yupiao", "prometheus": "http://127.0.0.1:9090/-/healthy", "grafana": "http://127.0.0.1:3000/api/health", "bookingd": "http://127.0.0.1:8082" + healthPath,
		"nats": "http://127.0.0.1:8222/healthz", "node": "http://127.0.0.1:8080" + healthPath, "balancer": "http://127.0.0.1:8080" + healthPath,
	}
	if kind, _, _ := strings.Cut(name, "-"); check != wants[kind] {
		t.Errorf("%s: the health check asks %q; want %q", name, check, wants[kind])
	}
}

// healthPath is what nodes and the backend answer while they live; TestClusterSurvives asks them.
const healthPath = "/healthz"

// The NATS image is of the version that the tests run, and that server takes the file.
func TestNATSOfCompose(t *testing.T) {
	modules, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(modules), "github.com/nats-io/nats-server/v2 v")
	version, _, _ = strings.Cut(version, "\n")
	version = version[:strings.LastIndex(version, ".")]
	p, err := project(t, whole()...)
	if err != nil {
		t.Fatal(err)
	}
	if image := p.Services["nats-1"].Image; image != "nats:"+version+"-alpine" {
		t.Errorf("image is %q; go.mod has %s", image, version)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs(t), "nats-server"), "-t", "-c", filepath.Join(root, "configs", "nats", "cluster.conf"))
	for key, value := range p.Services["nats-1"].Environment {
		cmd.Env = append(cmd.Env, key+"="+*value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// settle holds a service's settings against the program that reads them.
func settle(t *testing.T, name, kind string, s *types.ServiceConfig) {
	t.Helper()
	known := map[string]reflect.Type{"node": reflect.TypeFor[config.Node](), "bookingd": reflect.TypeFor[config.Booking]()}[kind]
	if known == nil {
		return
	}
	variables := variablesOf(known, "YUPIAO_")
	for key, value := range s.Environment {
		if !slices.Contains(variables, key) {
			t.Errorf("%s: %s is no setting", name, key)
		}
		t.Setenv(key, *value)
	}
	defer func() {
		for key := range s.Environment {
			_ = os.Unsetenv(key) // the next service has its own
		}
	}()
	if kind == "bookingd" {
		b, err := config.LoadBooking("")
		if err != nil || b.Feed.Replicas != Servers || b.Name != name {
			t.Errorf("%s: %v %+v", name, err, b)
		}
		party(t, name, nats.Publisher, b.Feed.Options())
		return
	}
	n, err := config.LoadNode("")
	if err != nil || n.Feed.Name != name || n.Admin.Token != token {
		t.Errorf("%s: %v %+v", name, err, n)
	}
	party(t, name, nats.Node, n.Feed.Options())
	acts, apart := n.ActOptions()
	if apart != (len(s.Ports) > 0) {
		t.Errorf("%s can act as an operator: %t; want that of the one whose console is published", name, apart)
	}
	if apart {
		party(t, name, nats.Operator, acts)
	}
}

// party: a service comes to NATS as whom it is.
func party(t *testing.T, name string, want nats.Party, got feed.Options) {
	t.Helper()
	if got.User != string(want) || got.Password != password(want) || got.Domain != nats.Domain {
		t.Errorf("%s comes to NATS as %q, domain %q; want %s", name, got.User, got.Domain, want)
	}
}

// variablesOf are the environment's names of all keys of settings.
func variablesOf(t reflect.Type, prefix string) (all []string) {
	for f := range t.Fields() {
		key := f.Tag.Get("mapstructure")
		if key == "" || key == "-" {
			continue
		}
		name := prefix + strings.ToUpper(key)
		if all = append(all, name); f.Type.Kind() == reflect.Struct {
			all = append(all, variablesOf(f.Type, name+"_")...)
		}
	}
	return all
}

// The balancer of docker-compose.yml is as good as ours: nodes that are drained or die cost nobody an answer.
func TestHAProxy(t *testing.T) {
	path, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("needs haproxy: apt-get install haproxy")
	}
	settings, err := os.ReadFile(filepath.Join(root, "configs", "haproxy", "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	var draining [Nodes]atomic.Bool
	var all atomic.Bool // are draining
	begun, noticed := make(chan struct{}), make(chan struct{})
	var nodes [Nodes]*httptest.Server
	free, err := ports(1)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", free[0])
	text := strings.Replace(string(settings), "bind :8080", "bind "+address, 1)
	for i := range nodes {
		nodes[i] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" && (draining[i].Load() || all.Load()) {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, "node ")
			if r.URL.Path == "/slow" {
				w.(http.Flusher).Flush()
				close(begun)
				<-noticed
			}
			_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
		}))
		t.Cleanup(nodes[i].Close)
		text = strings.Replace(text, fmt.Sprintf(" node-%d:8080", i+1), " "+strings.TrimPrefix(nodes[i].URL, "http://"), 1)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), path, "-c", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	testkit.Run(t, func(ctx context.Context) error {
		if err := exec.CommandContext(ctx, path, "-db", "-f", file).Run(); ctx.Err() == nil {
			return errors.Join(errors.New("haproxy ended"), err)
		}
		return nil
	})
	one := func(path string) error {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			return err
		}
		defer func() { _ = r.Body.Close() }()
		body, err := io.ReadAll(r.Body)
		if err == nil && (r.StatusCode != 200 || string(body) != "node 127.0.0.1") {
			err = fmt.Errorf("%s %s", r.Status, body)
		}
		return err
	}
	get := func() error { return one("/") }
	testkit.Eventually(t, "an answer", func() bool { return get() == nil })
	ask := func(while string) {
		t.Helper()
		for range 300 {
			if err := get(); err != nil {
				t.Fatalf("%s: %v", while, err)
			}
		}
	}
	ask("all nodes")
	draining[0].Store(true)
	ask("one is drained")
	draining[0].Store(false)

	slow := make(chan error, 1)
	go func() { slow <- one("/slow") }()
	<-begun
	all.Store(true)
	testkit.Eventually(t, "nobody to be ready", func() bool { return get() != nil })
	close(noticed)
	if err := <-slow; err != nil {
		t.Errorf("what a draining node had begun was cut: %v", err)
	}
	all.Store(false)
	testkit.Eventually(t, "nodes that are back", func() bool { return get() == nil })

	nodes[1].CloseClientConnections()
	_ = nodes[1].Listener.Close()
	ask("one is gone")
}
