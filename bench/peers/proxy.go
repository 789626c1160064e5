package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/template"
)

// nginxBase is what both uses of nginx share: one worker, no access log, connections that live as long as the client wants. The worker runs as whoever runs this,
// since it reads what was made here.
const nginxBase = `{{if .User}}user {{.User}};
{{end}}daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  default_type "` + contentType + `";
  types { }
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
{{template "rest" .}}}
`

// staticRest serves the file that lies at the answer's path: opened for each request, as nginx does unless it is told otherwise, or once in a minute.
const staticRest = `{{define "rest"}}{{if .OpenFiles}}  open_file_cache max=100 inactive=60s;
{{end}}  server {
    listen {{.Listen}};
    root {{.Dir}}/root;
  }
{{end}}`

// cacheRest is the usual cache for a short time: one request asks the backend, the others are given the old answer until it is there. nginx counts age in whole
// seconds, so that an answer may live for two.
const cacheRest = `{{define "rest"}}  proxy_cache_path {{.Dir}}/cache keys_zone=answers:1m inactive=60s use_temp_path=off;
  upstream backend {
    server {{.Backend}};
    keepalive 16;
  }
  server {
    listen {{.Listen}};
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache answers;
      proxy_cache_valid 200 1s;
      proxy_cache_lock on;
      proxy_cache_use_stale updating;
      proxy_cache_background_update on;
    }
  }
{{end}}`

// varnishVCL keeps an answer for a second; after that one request fetches it, and the others are given the old one until it is there.
const varnishVCL = `vcl 4.1;
backend default { .host = "{{.Host}}"; .port = "{{.Port}}"; }
sub vcl_backend_response {
  set beresp.ttl = 1s;
  set beresp.grace = 1s;
}
`

// proxyConfig is what the templates are filled with.
type proxyConfig struct {
	Dir, User       string
	Listen, Backend endpoint
	// OpenFiles: files are kept open.
	OpenFiles bool
}

// Host and Port of the backend.
func (c proxyConfig) Host() string { host, _, _ := strings.Cut(string(c.Backend), ":"); return host }

// Port of the backend.
func (c proxyConfig) Port() string { _, port, _ := strings.Cut(string(c.Backend), ":"); return port }

// render fills a template, which may be given in several parts.
func (c proxyConfig) render(parts ...string) (string, error) {
	t := template.New("config")
	for _, part := range parts {
		if _, err := t.Parse(part); err != nil {
			return "", err
		}
	}
	var out strings.Builder
	err := t.Execute(&out, c)
	return out.String(), err
}

// write makes the folder of a proxy with its configuration, and returns the file.
func (c *proxyConfig) write(parts ...string) (file string, err error) {
	if c.Listen, err = freeEndpoint(); err != nil {
		return "", err
	}
	if me, err := user.Current(); err == nil && os.Geteuid() == 0 { // only root may say, and must: nginx would turn into another
		c.User = me.Username
	}
	text, err := c.render(parts...)
	if err != nil {
		return "", err
	}
	file = filepath.Join(c.Dir, "config")
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(text), 0o644)
}

// startNginx starts nginx with a configuration.
func startNginx(s *stage, c *proxyConfig, rest string) (*process, error) {
	file, err := c.write(rest, nginxBase)
	if err != nil {
		return nil, fmt.Errorf("configure nginx: %w", err)
	}
	return s.serve("nginx", program("nginx"), "-p", c.Dir, "-e", "stderr", "-c", file)
}

// nginxProxy is nginx with proxy_cache before a backend.
func nginxProxy(s *stage, c *proxyConfig) (*process, error) { return startNginx(s, c, cacheRest) }

// varnishProxy is Varnish before a backend, in memory.
func varnishProxy(s *stage, c *proxyConfig) (*process, error) {
	file, err := c.write(varnishVCL)
	if err != nil {
		return nil, fmt.Errorf("configure Varnish: %w", err)
	}
	work := filepath.Join(c.Dir, "work")
	return s.serve("varnishd", program("varnishd"), "-F", "-j", "none", "-n", work, "-a", string(c.Listen), "-f", file, "-s", "malloc,64m", "-T", "none")
}

// static is nginx with the answer as a file.
type static struct {
	stage  *stage
	config proxyConfig
	nginx  *process
}

// Start is Peer's.
func (n *static) Start(ctx context.Context) error {
	body, err := n.stage.railway.truth()
	if err != nil {
		return err
	}
	n.config.Dir = filepath.Join(n.stage.dir, "static")
	file, _, _ := strings.Cut(n.stage.path, "?")
	file = filepath.Join(n.config.Dir, "root", file)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, body, 0o644); err != nil {
		return err
	}
	if n.nginx, err = startNginx(n.stage, &n.config, staticRest); err != nil {
		return err
	}
	return n.nginx.await(ctx, answers(n.URL()))
}

// URL is Peer's.
func (n *static) URL() string { return n.config.Listen.url(n.stage.path) }

// Parts is Peer's.
func (n *static) Parts() []Part { return []Part{{"nginx", n.nginx.pid()}} }

// Behind is Peer's: there is nothing behind.
func (n *static) Behind(context.Context) (uint64, error) { return 0, nil }

// Stop is Peer's.
func (n *static) Stop() { n.nginx.stop() }

// proxied is the usual design behind a cache.
type proxied struct {
	usual
	proxy   func(*stage, *proxyConfig) (*process, error)
	config  proxyConfig
	process *process
}

// Start is Peer's.
func (p *proxied) Start(ctx context.Context) (err error) {
	if err := p.usual.Start(ctx); err != nil {
		return err
	}
	p.config = proxyConfig{Dir: filepath.Join(p.stage.dir, "proxy"), Backend: p.http}
	if err := os.RemoveAll(p.config.Dir); err != nil { // of the round before: a cache begins empty
		return err
	}
	if p.process, err = p.proxy(p.stage, &p.config); err != nil {
		return err
	}
	return p.process.await(ctx, answers(p.URL()))
}

// URL is Peer's.
func (p *proxied) URL() string { return p.config.Listen.url(p.stage.path) }

// Parts is Peer's.
func (p *proxied) Parts() []Part {
	return append([]Part{{p.process.name, p.process.pid()}}, p.usual.Parts()...)
}

// Stop is Peer's.
func (p *proxied) Stop() {
	p.process.stop()
	p.usual.Stop()
}
