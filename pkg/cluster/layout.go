package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// bookingName is the booking backend's process.
const bookingName = "bookingd"

// layOut gives everything its address and its settings.
func (c *Cluster) layOut(ctx context.Context) error {
	free, err := ports(2*Servers + 1 + 2*Nodes + 1)
	if err != nil {
		return err
	}
	next := func() string {
		port := free[0]
		free = free[1:]
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	var routes, clients []string
	for range Servers {
		clients, routes = append(clients, next()), append(routes, next())
	}
	for _, client := range clients {
		c.nats = append(c.nats, "nats://"+client)
	}
	for i := range Servers {
		if err := c.addServer(i, clients[i], routes); err != nil {
			return err
		}
	}
	if c.o.Postgres {
		if err := c.addPostgres(ctx, next()); err != nil {
			return err
		}
	}
	if err := c.addBooking(next()); err != nil {
		return err
	}
	for i := range Nodes {
		if err := c.addNode(i, next(), next()); err != nil {
			return err
		}
	}
	return nil
}

// add adds a process that others reach at an address.
func (c *Cluster) add(t tier, address string, p *process) {
	p.tier, p.address, p.folder, p.out, p.say = t, address, c.folder, c.o.All, c.say
	if p.end == 0 {
		p.end = syscall.SIGTERM
	}
	p.stay(c.o.NoRestart)
	c.processes = append(c.processes, p)
}

// settled is a process with a settings file of its own.
func (c *Cluster) settled(name, program, extension, settings, flag string) (*process, error) {
	file := filepath.Join(c.folder, name+extension)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	return &process{name: name, path: filepath.Join(c.o.Programs, program), args: []string{flag, file}}, nil
}

// ours is a program of ours, which needs the feed.
func (c *Cluster) ours(name, program, settings string) (*process, error) {
	p, err := c.settled(name, program, ".yaml", settings, "--config")
	if err != nil {
		return nil, err
	}
	p.env = []string{"YUPIAO_ADMIN_TOKEN=" + c.token, "YUPIAO_OFFERS_KEYS=" + c.offerKeys}
	var servers []string
	for _, url := range c.nats {
		servers = append(servers, strings.TrimPrefix(url, "nats://"))
	}
	p.after = append(p.after, accepts(servers...))
	return p, nil
}

// addServer is one of the NATS servers. An election is over soon after a server is lost: the clients of the feed wait that long.
func (c *Cluster) addServer(i int, client string, routes []string) error {
	name := fmt.Sprintf("nats-%d", i+1)
	var others []string
	for k, route := range routes {
		if k != i {
			others = append(others, "nats://"+route)
		}
	}
	p, err := c.settled(name, "nats-server", ".conf", fmt.Sprintf(`server_name: %s
listen: %q
max_payload: 8388608
jetstream { store_dir: %q }
cluster { name: yupiao, listen: %q, routes: [%s] }
`, name, client, filepath.Join(c.folder, name), routes[i], strings.Join(others, ", ")), "-c")
	if err == nil {
		c.add(feedTier, c.nats[i], p)
	}
	return err
}

func (c *Cluster) addBooking(address string) error {
	c.booking = "http://" + address
	database := c.o.Database
	if database == "" {
		database = "sqlite:" + filepath.Join(c.folder, "bookings.db")
	}
	front := c.front.Addr().(*net.TCPAddr)
	p, err := c.ours(bookingName, "bookingd", fmt.Sprintf(`name: %s
database: %q
http: {address: %q, allowed_origins: ["http://%s", "http://localhost:%d"]}
feed: {url: %q, replicas: %d}
`, bookingName, database, address, front, front.Port, c.NATS(), Servers))
	if err != nil {
		return err
	}
	if c.postgresIsUp != nil {
		p.after = append(p.after, c.postgresIsUp)
	}
	c.add(bookingTier, c.booking, p)
	return nil
}

func (c *Cluster) addNode(i int, address, admin string) error {
	c.nodes, c.admins = append(c.nodes, "http://"+address), append(c.admins, "http://"+admin)
	name := fmt.Sprintf("node-%d", i+1)
	p, err := c.ours(name, "yupiaod", fmt.Sprintf(`http: {address: %q, trusted_proxies: ["127.0.0.1"]}
admin: {address: %q}
feed: {url: %q, name: %s}
streams: {max_per_client: 20000}
page: {booking: %q}
`, address, admin, c.NATS(), name, c.booking))
	if err == nil {
		p.admin = c.admins[i]
		c.add(nodeTier, c.nodes[i], p)
	}
	return err
}
