package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/yupiao/yupiao/pkg/rail"
)

// usual is the usual design: the counts in Redis, one hash for each run with a field for each class and OD; a server that fetches what an answer needs in one
// round trip, joins it with what it knows of the trains and writes JSON; and an updater that writes every number that a change touches. Redis keeps nothing on
// disk, and is reached by a socket file.
type usual struct {
	stage           *stage
	http            endpoint
	redis, server   *process
	client          *redis.Client
	outlet          *outlet
	endUpdates      context.CancelFunc
	updates         chan struct{} // closed when the updater has ended
	socket, planned string
}

// Start is Peer's.
func (u *usual) Start(ctx context.Context) (err error) {
	u.socket, u.planned = filepath.Join(u.stage.dir, "redis.sock"), filepath.Join(u.stage.dir, "plan.json")
	if u.redis, err = u.stage.serve("redis-server", program("redis-server"), redisSettings(u.stage.dir, u.socket)...); err != nil {
		return err
	}
	u.client = connect(u.socket)
	if err := u.redis.await(ctx, func(ctx context.Context) error { return u.client.Ping(ctx).Err() }); err != nil {
		return err
	}
	if err := u.load(ctx); err != nil {
		return err
	}
	u.update(ctx)
	data, err := json.Marshal(u.stage.railway.plan())
	if err != nil {
		return err
	}
	if err := os.WriteFile(u.planned, data, 0o600); err != nil {
		return err
	}
	if u.http, err = freeEndpoint(); err != nil {
		return err
	}
	if u.server, err = u.stage.role("backend", roleUsual, string(u.http), u.planned, u.socket); err != nil {
		return err
	}
	return u.server.await(ctx, answers(u.http.url(u.stage.path)))
}

// redisSettings as arguments.
func redisSettings(dir, socket string) []string {
	return []string{"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", dir}
}

func connect(socket string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: "unix", Addr: socket, PoolSize: 128, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}, // it is of Redis' cloud
	})
}

// load writes all numbers of all runs. The railway rests.
func (u *usual) load(ctx context.Context) error {
	var batch []commit
	u.stage.railway.mu.Lock()
	for _, n := range u.stage.railway.all {
		c := commit{key: keyOf(n.id)}
		for class := range classes {
			c.cells = append(c.cells, n.touched(class, ride{0, lastStop})...)
		}
		batch = append(batch, c)
	}
	u.stage.railway.mu.Unlock()
	return u.write(ctx, batch)
}

// write is one command for each change, all sent at once.
func (u *usual) write(ctx context.Context, batch []commit) error {
	if len(batch) == 0 {
		return nil
	}
	pipe := u.client.Pipeline()
	for _, c := range batch {
		values := make([]any, 0, 2*len(c.cells))
		for _, cell := range c.cells {
			values = append(values, cell.field, int(cell.count))
		}
		pipe.HSet(ctx, c.key, values...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("write to Redis: %w", err)
	}
	return nil
}

// update starts the updater.
func (u *usual) update(ctx context.Context) {
	ctx, u.endUpdates = context.WithCancel(ctx)
	u.outlet = u.stage.railway.follow(func(ctx context.Context, batch []commit, _ time.Time) error { return u.write(ctx, batch) })
	u.updates = make(chan struct{})
	go func() {
		defer close(u.updates)
		if err := u.outlet.run(ctx); err != nil {
			u.stage.fail(err)
		}
	}()
}

// URL is Peer's.
func (u *usual) URL() string { return u.http.url(u.stage.path) }

// Parts is Peer's.
func (u *usual) Parts() []Part {
	return []Part{{"backend", u.server.pid()}, {"redis-server", u.redis.pid()}}
}

// Behind is how many requests the server has answered.
func (u *usual) Behind(ctx context.Context) (uint64, error) {
	text, err := get(ctx, u.http.url(countPath))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(text), 10, 64)
}

// Stop is Peer's.
func (u *usual) Stop() {
	if u.outlet != nil {
		u.outlet.leave()
		u.endUpdates()
		<-u.updates
	}
	if u.client != nil {
		_ = u.client.Close() // the server goes, too
	}
	u.server.stop()
	u.redis.stop()
}

// countPath tells how many answers the server has given.
const countPath = "/count"

// usualServer answers from Redis.
type usualServer struct {
	client *redis.Client
	plans  map[[3]string]plan // by from, to and date
	served atomic.Uint64
}

// newUsualServer answers the one search of a plan.
func newUsualServer(client *redis.Client, p plan) http.Handler {
	s := &usualServer{client: client, plans: map[[3]string]plan{{string(p.Reply.From.Code), string(p.Reply.To.Code), p.Reply.Date}: p}}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/v1/availability", s.availability)
	engine.GET(countPath, func(c *gin.Context) { c.String(http.StatusOK, "%d", s.served.Load()) })
	return engine
}

func (s *usualServer) availability(c *gin.Context) {
	s.served.Add(1)
	p, known := s.plans[[3]string{c.Query("from"), c.Query("to"), c.Query("date")}]
	if !known {
		c.Status(http.StatusNotFound)
		return
	}
	body, err := s.answer(c.Request.Context(), &p)
	if err != nil {
		c.String(http.StatusBadGateway, "%v", err)
		return
	}
	c.Data(http.StatusOK, contentType, body)
}

// answer fetches the counts of all runs in one round trip and writes them into the plan.
func (s *usualServer) answer(ctx context.Context, p *plan) ([]byte, error) {
	pipe := s.client.Pipeline()
	fetched := make([]*redis.SliceCmd, 0, len(p.Keys))
	for _, key := range p.Keys {
		fetched = append(fetched, pipe.HMGet(ctx, key, p.Fields...))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	out := p.Reply
	out.Runs = make([]runReply, len(p.Reply.Runs))
	for i := range out.Runs {
		r := p.Reply.Runs[i]
		r.Classes = make([]classReply, len(r.Classes))
		copy(r.Classes, p.Reply.Runs[i].Classes)
		for k, value := range fetched[i].Val() {
			text, _ := value.(string) // nil where there is no such field
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", p.Keys[i], p.Fields[k], err)
			}
			r.Classes[k].fill(rail.SeatCount(n))
		}
		out.Runs[i] = r
	}
	return json.Marshal(out)
}
