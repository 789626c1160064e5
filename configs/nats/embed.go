// Package nats holds the accounts of the feed's NATS servers, for programs that run such servers themselves.
package nats

import _ "embed" // of the file

// Accounts is accounts.conf, which a server's own file includes.
//
//go:embed accounts.conf
var Accounts string

// Domain under which the parties of the accounts find JetStream.
const Domain = "yupiao"

// Party is a user of the accounts.
type Party string

// The parties.
const (
	Node      Party = "node"
	Publisher Party = "publisher"
	Operator  Party = "operator"
	Monitor   Party = "monitor"
)

// Parties are all of them, with the variables of a server's environment that hold their passwords.
var Parties = map[Party]string{
	Node: "YUPIAO_NODE_PASSWORD", Publisher: "YUPIAO_PUBLISHER_PASSWORD", Operator: "YUPIAO_OPERATOR_PASSWORD", Monitor: "YUPIAO_MONITOR_PASSWORD",
}
