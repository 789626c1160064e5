package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/yupiao/yupiao/configs/nats"
)

// bookingName is the booking backend's process.
const bookingName = "bookingd"

// accountsFile is what all NATS servers include.
const accountsFile = "accounts.conf"

// layOut gives everything its address and its settings.
func (c *Cluster) layOut(ctx context.Context) error {
	free, err := ports(2*Servers + 1 + 2*(Nodes+c.o.Spares) + 1)
	if err != nil {
		return err
	}
	next := func(name string) string {
		port := free[0]
		free = free[1:]
		host := c.place(name).Host
		if host == "" {
			host = "127.0.0.1"
		}
		return fmt.Sprintf("%s:%d", host, port)
	}
	var routes, clients []string
	for i := range Servers {
		clients, routes = append(clients, next(serverName(i))), append(routes, next(serverName(i)))
	}
	if err := os.WriteFile(filepath.Join(c.folder, accountsFile), []byte(nats.Accounts), 0o600); err != nil {
		return err
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
		if err := c.addPostgres(ctx, next(postgresName)); err != nil {
			return err
		}
	}
	if err := c.addBooking(next(bookingName)); err != nil {
		return err
	}
	for i := range Nodes + c.o.Spares {
		if err := c.addNode(i, next(nodeName(i)), next(nodeName(i))); err != nil {
			return err
		}
	}
	return nil
}

func serverName(i int) string { return fmt.Sprintf("nats-%d", i+1) }

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// place is where a process runs.
func (c *Cluster) place(name string) Place {
	if c.o.Place == nil {
		return Place{}
	}
	return c.o.Place(name)
}

// link is the address at which one finds another whose own is target.
func (c *Cluster) link(from, to, target string) (string, error) {
	if c.o.Link == nil {
		return target, nil
	}
	return c.o.Link(from, to, target)
}

// natsOf are the servers' addresses as a process finds them.
func (c *Cluster) natsOf(name string) (string, error) {
	var all []string
	for i, url := range c.nats {
		address, err := c.link(name, serverName(i), strings.TrimPrefix(url, "nats://"))
		if err != nil {
			return "", err
		}
		all = append(all, "nats://"+address)
	}
	return strings.Join(all, ","), nil
}

// add adds a process that others reach at an address.
func (c *Cluster) add(t tier, address string, p *process) {
	p.tier, p.address, p.folder, p.out, p.say = t, address, c.folder, c.o.All, c.say
	if p.end == 0 {
		p.end = syscall.SIGTERM
	}
	if under := c.place(p.name).Under; len(under) > 0 {
		p.path, p.args = under[0], slices.Concat(under[1:], []string{p.path}, p.args)
	}
	p.stay(c.o.NoRestart || p.spare)
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

// ours is a program of ours, which needs the feed and logs in there as a party.
func (c *Cluster) ours(name, program string, as nats.Party, settings string) (*process, error) {
	p, err := c.settled(name, program, ".yaml", settings, "--config")
	if err != nil {
		return nil, err
	}
	p.env = []string{"YUPIAO_ADMIN_TOKEN=" + c.token, "YUPIAO_OFFERS_KEYS=" + c.offerKeys, "YUPIAO_FEED_PASSWORD=" + c.passwords[as]}
	var servers []string
	for _, url := range c.nats {
		servers = append(servers, strings.TrimPrefix(url, "nats://"))
	}
	p.after = append(p.after, accepts(servers...))
	return p, nil
}

// silence: servers tell neither clients nor each other of addresses that lead past the links. What they tell each other all the same leads nowhere (the discard port).
const silence = `, no_advertise: true, advertise: "127.0.0.1:9"`

// addServer is one of the NATS servers. An election is over soon after a server is lost: the clients of the feed wait that long.
func (c *Cluster) addServer(i int, client string, routes []string) error {
	name := serverName(i)
	var others []string
	for k, route := range routes {
		if k == i {
			continue
		}
		address, err := c.link(name, serverName(k), route)
		if err != nil {
			return err
		}
		others = append(others, "nats://"+address)
	}
	gossip := ""
	if c.o.Link != nil {
		gossip = silence
	}
	p, err := c.settled(name, "nats-server", ".conf", fmt.Sprintf(`server_name: %s
listen: %q
max_payload: 8388608
jetstream { store_dir: %q }
cluster { name: yupiao, listen: %q, routes: [%s]%s }
include %q
`, name, client, filepath.Join(c.folder, name), routes[i], strings.Join(others, ", "), gossip, accountsFile), "-c")
	if err == nil {
		for party, variable := range nats.Parties {
			p.env = append(p.env, variable+"="+c.passwords[party])
		}
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
	servers, err := c.natsOf(bookingName)
	if err != nil {
		return err
	}
	p, err := c.ours(bookingName, "bookingd", nats.Publisher, fmt.Sprintf(`name: %s
database: %q
http: {address: %q, allowed_origins: ["http://%s", "http://localhost:%d"]}
feed: {url: %q, user: %s, domain: %s, replicas: %d}
`, bookingName, database, address, front, front.Port, servers, nats.Publisher, nats.Domain, Servers))
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
	name := nodeName(i)
	servers, err := c.natsOf(name)
	if err != nil {
		return err
	}
	back, err := c.link(BalancerName, name, address)
	if err != nil {
		return err
	}
	c.backs = append(c.backs, "http://"+back)
	operator := nats.Party("")
	if i == 0 { // whose console is told to people
		operator = nats.Operator
	}
	p, err := c.ours(name, "yupiaod", nats.Node, fmt.Sprintf(`http: {address: %q, trusted_proxies: ["127.0.0.1"]}
admin: {address: %q, nats_user: %q}
feed: {url: %q, user: %s, domain: %s, name: %s}
streams: {max_per_client: 20000}
page: {booking: %q}
`, address, admin, operator, servers, nats.Node, nats.Domain, name, c.booking))
	if err == nil {
		if operator != "" {
			p.env = append(p.env, "YUPIAO_ADMIN_NATS_PASSWORD="+c.passwords[operator])
		}
		p.admin, p.spare = c.admins[i], i >= Nodes
		c.add(nodeTier, c.nodes[i], p)
	}
	return err
}
