package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bookingName is the booking backend's process.
const bookingName = "bookingd"

// layOut gives everything its address and its settings.
func (c *Cluster) layOut() error {
	free, err := ports(2*Servers + 1 + 2*Nodes)
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

// add adds a process with a settings file of its own.
func (c *Cluster) add(name, program, extension, settings string, flag string, env ...string) error {
	file := filepath.Join(c.folder, name+extension)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return err
	}
	p := &process{name: name, path: filepath.Join(c.o.Programs, program), args: []string{flag, file}, env: env, folder: c.folder, out: c.o.All, say: c.say}
	if program != "nats-server" {
		for _, url := range c.nats {
			p.after = append(p.after, strings.TrimPrefix(url, "nats://"))
		}
	}
	c.processes = append(c.processes, p)
	return nil
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
	return c.add(name, "nats-server", ".conf", fmt.Sprintf(`server_name: %s
listen: %q
max_payload: 8388608
jetstream { store_dir: %q }
cluster { name: yupiao, listen: %q, routes: [%s] }
`, name, client, filepath.Join(c.folder, name), routes[i], strings.Join(others, ", ")), "-c")
}

func (c *Cluster) addBooking(address string) error {
	c.booking = "http://" + address
	database := c.o.Database
	if database == "" {
		database = "sqlite:" + filepath.Join(c.folder, "bookings.db")
	}
	front := c.front.Addr().String()
	return c.add(bookingName, "bookingd", ".yaml", fmt.Sprintf(`name: %s
database: %q
http: {address: %q, allowed_origins: ["http://%s"]}
feed: {url: %q, replicas: %d}
`, bookingName, database, address, front, c.NATS(), Servers), "--config", "YUPIAO_ADMIN_TOKEN="+c.token, "YUPIAO_OFFERS_KEYS="+c.offerKeys)
}

func (c *Cluster) addNode(i int, address, admin string) error {
	c.nodes, c.admins = append(c.nodes, "http://"+address), append(c.admins, "http://"+admin)
	name := fmt.Sprintf("node-%d", i+1)
	return c.add(name, "yupiaod", ".yaml", fmt.Sprintf(`http: {address: %q, trusted_proxies: ["127.0.0.1"]}
admin: {address: %q}
feed: {url: %q, name: %s}
streams: {max_per_client: 20000}
page: {booking: %q}
`, address, admin, c.NATS(), name, c.booking), "--config", "YUPIAO_ADMIN_TOKEN="+c.token, "YUPIAO_OFFERS_KEYS="+c.offerKeys)
}
