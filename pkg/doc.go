// Package pkg is the architecture. The data's way goes down this list; a package imports only packages above it, and a test holds the imports to that.
//
//	rail        the vocabulary: dates, codes, versions, states; no I/O
//	bearer      the token by which operators are known
//	offer       what a traveller was shown, as a signed token, and what came of it
//	accuracy    how often offers held
//	timetable   stations, patterns, the index from an OD to the trains that serve it, search
//	formation   classes, places and fares of a train by its category
//	gtfs        reads a GTFS feed into a timetable
//	sample      a network of our own making for the demo
//	demand      which pairs of places and boarding dates people want, and how much
//	inventory   the arithmetic of remaining seats: windows, pools, counts
//	policy      how long answers are kept and what is done about their age: rules that an operator writes
//	event       the messages of the feed and their coding
//	feed        JetStream: publish, read
//	replica     the node's copy, kept true by rules R1 to R10
//	view        what a query sees: runs of an OD with counts and states
//	render      bytes
//	trial       what a rule set would do, from a sample of live queries and changes
//	answer      rendered answers, kept while they are true or as long as the policy says
//	governor    a TTL that moves by itself towards a target
//	latency     how long things took, counted on the way of every request
//	trace       requests, as an OpenTelemetry collector is told of them
//	limit       how much one client may want, and how much is let in at once
//	lane        HTTP connections whose hot requests are answered before net/http sees them
//	httpapi     gin: queries, streams, problems; the hot query in the lane
//	web         the page, embedded
//	metrics     statistics as Prometheus reads them
//	payment     the border to those who move money, and a sandbox
//	booking     the inventory core of the reference booking backend: the authority, never imported by the query side
//	reservation orders: reserved, paid, refunded; one batch after the other, stored before anybody hears of it
//	store       the backend's record in SQLite or PostgreSQL
//	bookapi     the backend's HTTP API
//	config      settings files
//	fleet       the query nodes as one: what each says of itself, and the settings that they share
//	audit       nodes held against the booking system, and mended
//	console     the operators' page
//	admin       what operators reach over HTTP
//	node        the one composition of a query node
//	backend     the one composition of a booking backend
//	broker      an embedded NATS server
//	crowd       people who buy at random, over the booking API
//	country     a made-up national railway of the real size, and an authority that holds it: for benchmarks
//	demo        a whole railway in one process: broker, booking and node
//	balancer    a plain HTTP balancer that asks nodes whether they are ready
//	link        a TCP connection's way, on which one can make bad weather
//	cluster     a whole fleet as processes on one machine
//	board       answers as a table in a terminal
//	plot        lines over axes as SVG
//	load        a crowd that asks: an open-loop load generator and its report
//	testkit     what the tests of several packages share
//	sim         the feed and replicas under faults of every kind, by a plan, in virtual time
//
// Each outside library has one owner: nats.go in feed, the databases' drivers and goose in store, nats-server in broker, protobuf in event (and in metrics, whose format it is), gin in httpapi, ristretto and compress in answer, Prometheus in metrics, OpenTelemetry in trace, viper and fsnotify in config, HdrHistogram and the kernel's calls (golang.org/x/sys) in load.
//
// Where is the rule for a lost event? In replica, rule R3; its code is replica/writer.go (found), trouble.go (kept aside) and repair.go (mended).
package pkg
