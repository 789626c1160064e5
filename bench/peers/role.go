package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/valyala/fasthttp"

	"github.com/yupiao/yupiao/pkg/broker"
)

// This program is also the servers that are measured and the NATS server, each in a process of its own, so that each can be pinned to a core:
//
//	peers role NAME ADDRESS FILE...
const roleCommand = "role"

// The roles beside the bare servers, which are called by the names of their designs.
const (
	roleNATS, roleUsual = "nats", "usual"
)

// runRole is one of those processes. It serves on a loopback address until ctx ends.
func runRole(ctx context.Context, args []string) error {
	if len(args) < 3 {
		return errors.New("role: want NAME ADDRESS FILE")
	}
	name, files := args[0], args[2:]
	address, err := newEndpoint(args[1])
	if err != nil {
		return err
	}
	if name == roleNATS {
		return serveNATS(ctx, address, files[0])
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	switch {
	case name == roleUsual && len(files) == 2:
		var p plan
		if err := p.parse(data); err != nil {
			return err
		}
		return serveHTTP(ctx, address, newUsualServer(connect(files[1]), p))
	case name == nameFastHTTP:
		return serveFastHTTP(ctx, address, data)
	case name == "nethttp":
		return serveHTTP(ctx, address, constantHTTP(data))
	case name == "gin":
		return serveHTTP(ctx, address, constantGin(data))
	}
	return fmt.Errorf("role %q with %d files: unknown", name, len(files))
}

// serveNATS is NATS with its streams in a folder.
func serveNATS(ctx context.Context, address endpoint, dir string) error {
	s, err := broker.Start(broker.Options{Dir: dir, Address: string(address)})
	if err != nil {
		return err
	}
	defer s.Stop()
	if s.Replaced {
		return fmt.Errorf("%s is taken", address)
	}
	<-ctx.Done()
	return nil
}

// Timeouts of the servers: longer than any turn.
const idleTimeout = 5 * time.Minute

func serveHTTP(ctx context.Context, address endpoint, handler http.Handler) error {
	server := &http.Server{Addr: string(address), Handler: handler, ReadHeaderTimeout: startLimit, IdleTimeout: idleTimeout}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for an answer any more
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// constantHTTP writes the same bytes to everybody.
func constantHTTP(body []byte) http.Handler {
	length := []string{fmt.Sprint(len(body))}
	kind := []string{contentType}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = kind, length
		_, _ = w.Write(body) // whoever left misses it
	})
}

func constantGin(body []byte) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/v1/availability", func(c *gin.Context) { c.Data(http.StatusOK, contentType, body) })
	return engine
}

func serveFastHTTP(ctx context.Context, address endpoint, body []byte) error {
	server := &fasthttp.Server{ReadTimeout: idleTimeout, Handler: func(c *fasthttp.RequestCtx) {
		c.Response.Header.SetContentType(contentType)
		c.Response.SetBodyRaw(body)
	}}
	context.AfterFunc(ctx, func() { _ = server.Shutdown() }) // the process ends anyway
	return server.ListenAndServe(string(address))
}

// bare is a server that does nothing but write the bytes that it was given.
type bare struct {
	stage  *stage
	role   string
	http   endpoint
	server *process
}

// Start is Peer's.
func (b *bare) Start(ctx context.Context) (err error) {
	body, err := b.stage.railway.truth()
	if err != nil {
		return err
	}
	file := filepath.Join(b.stage.dir, "body.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return err
	}
	if b.http, err = freeEndpoint(); err != nil {
		return err
	}
	if b.server, err = b.stage.role(b.role, b.role, string(b.http), file); err != nil {
		return err
	}
	return b.server.await(ctx, answers(b.URL()))
}

// URL is Peer's.
func (b *bare) URL() string { return b.http.url(b.stage.path) }

// Parts is Peer's.
func (b *bare) Parts() []Part { return []Part{{b.role, b.server.pid()}} }

// Behind is Peer's: there is nothing behind.
func (b *bare) Behind(context.Context) (uint64, error) { return 0, nil }

// Stop is Peer's.
func (b *bare) Stop() { b.server.stop() }
