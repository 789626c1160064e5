// Package api is the contract of the project as files: what a client of a query node and a publisher of the feed build against.
//
//	openapi.yaml          the HTTP interface of a query node (OpenAPI 3.1)
//	admin.yaml            what operators reach on a query node's admin listener (OpenAPI 3.1)
//	booking.yaml          the HTTP interface of the reference booking backend (OpenAPI 3.1)
//	asyncapi.yaml         the feed: subjects, streams, duties and rules (AsyncAPI 3.0)
//	yupiao/v1/feed.proto  the messages of the feed
//	examples              one story in messages and answers; README.md says how to play it by hand
//
// Invariants (cited by the tests as A1...):
//
//	A1 Both documents are valid, and every example is of the shape that they give.
//	A2 The feed's document knows every subject, message and field of the schema, and no other.
//	A3 A node that is fed the example messages over streams with the documented settings gives the example answers.
//	A4 The sums that a publisher must compute in the node's way are given with values to test one's own code by.
//
// The variables are shared and must not be changed.
package api

import "embed"

// OpenAPI is openapi.yaml, the HTTP interface of a query node.
//
//go:embed openapi.yaml
var OpenAPI []byte

// AdminAPI is admin.yaml, what operators reach on a query node's admin listener.
//
//go:embed admin.yaml
var AdminAPI []byte

// BookingAPI is booking.yaml, the HTTP interface of the reference booking backend.
//
//go:embed booking.yaml
var BookingAPI []byte

// AsyncAPI is asyncapi.yaml, the feed.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte

// Schema is yupiao/v1/feed.proto, the messages of the feed.
//
//go:embed yupiao/v1/feed.proto
var Schema []byte

// Examples is the folder examples, all of it JSON.
//
//go:embed examples/*.json
var Examples embed.FS
