// Package console is the operators' page at a node's admin listener: the fleet in one look, and what can be done about it. It draws what the admin API tells, and the API alone decides who
// may do what.
//
// Invariants (cited by the tests as Q1...):
//
//	Q1 The page tells nothing by itself and needs nothing but the API of its own origin; the token is in the tab's memory alone, and goes into a header alone. No text becomes markup.
//	Q2 It never shows old numbers as new: what could not be asked for is greyed, with of when it is.
//	Q3 Whatever it does, it says on which nodes it is done.
//	Q4 Nothing is done by one press: what will be done is said first, and who does it and why is asked.
//	Q5 What is on the page stays in its place while its numbers change, so that a press hits what it was aimed at and a draft is never lost.
package console

import (
	"embed"
	"net/http"

	"github.com/yupiao/yupiao/pkg/web"
)

//go:embed static
var files embed.FS

// Handler answers "/" with the page and "/static/..." with its files. It is safe for concurrent use; make it once.
func Handler() http.Handler { return web.Files(files, "dom.js", "icon.svg") }
