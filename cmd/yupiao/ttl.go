package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/admin"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/fleet"
)

// reach is how the fleet is reached: over NATS, or through a node's admin listener.
type reach struct {
	nats, credentials, user, domain string
	tls                             feed.TLS
	admin, tokenFile                string
}

func (r *reach) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&r.nats, "nats", envOr("YUPIAO_FEED_URL", "nats://127.0.0.1:4222"), "NATS servers of the feed")
	f.Lookup("nats").DefValue = feed.Redacted(r.nats) // which --help shows
	f.StringVar(&r.credentials, "credentials", os.Getenv("YUPIAO_FEED_CREDENTIALS"), "NATS credentials file")
	f.StringVar(&r.user, "user", os.Getenv("YUPIAO_FEED_USER"), "NATS user, such as operator; the password is the environment's YUPIAO_FEED_PASSWORD")
	f.StringVar(&r.domain, "domain", os.Getenv("YUPIAO_FEED_DOMAIN"), "domain of JetStream, such as yupiao")
	f.StringVar(&r.tls.CA, "tls-ca", os.Getenv("YUPIAO_FEED_TLS_CA"), "PEM file with the authorities of the NATS servers' certificates")
	f.StringVar(&r.tls.Certificate, "tls-certificate", os.Getenv("YUPIAO_FEED_TLS_CERTIFICATE"), "PEM file with the client's own certificate")
	f.StringVar(&r.tls.Key, "tls-key", os.Getenv("YUPIAO_FEED_TLS_KEY"), "PEM file with its key")
	f.StringVar(&r.admin, "admin", "", "admin listener of a node, such as http://127.0.0.1:8081, to use instead of NATS")
	f.StringVar(&r.tokenFile, "token-file", "", "file with the admin listener's token; default: the environment's YUPIAO_ADMIN_TOKEN")
}

func envOr(name, otherwise string) string {
	if text := os.Getenv(name); text != "" {
		return text
	}
	return otherwise
}

// open reaches the fleet; done lets go of it.
func (r *reach) open() (f admin.Fleet, done func(), err error) {
	if r.admin != "" {
		token, err := r.token()
		return &admin.Client{Server: r.admin, Token: token}, func() {}, err
	}
	conn, err := r.connect("yupiao ttl")
	if err != nil {
		return nil, nil, err
	}
	return fleet.NewOperator(conn), conn.Close, nil
}

// connect connects over NATS.
func (r *reach) connect(name string) (*feed.Conn, error) {
	o := feed.Options{URL: r.nats, Credentials: r.credentials, User: r.user, Domain: r.domain, TLS: r.tls, Name: name}
	if r.user != "" {
		o.Password = os.Getenv("YUPIAO_FEED_PASSWORD")
	}
	return feed.Connect(o)
}

func (r *reach) token() (string, error) {
	if r.tokenFile == "" {
		return os.Getenv("YUPIAO_ADMIN_TOKEN"), nil
	}
	text, err := os.ReadFile(r.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func ttlCommand() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use: "ttl", Short: "How long answers are kept, and what is done about their age, on all nodes",
		Long: `How long answers are kept, and what is done about their age, on all nodes.

What is shared lies over each node's settings file: freshness and rules, as configs/yupiaod.yaml explains them.`,
		Example: `  yupiao ttl show
  yupiao ttl try rules.yaml
  yupiao ttl set --file rules.yaml --note "sale of the new year opens"
  yupiao ttl set freshness.ttl=500ms
  yupiao ttl rollback`,
	}
	r.flags(cmd)
	cmd.AddCommand(ttlShow(r), ttlSet(r), ttlLog(r), ttlRollback(r), ttlClear(r), ttlTry(r))
	return cmd
}

// with makes a command's body that acts on the fleet.
func (r *reach) with(do func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		f, done, err := r.open()
		if err != nil {
			return err
		}
		defer done()
		return do(cmd.Context(), f, cmd.OutOrStdout(), args)
	}
}

func ttlShow(r *reach) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{Use: "show", Short: "What is in force on each node, and where it comes from", Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write what the nodes say as JSON")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, _ []string) error {
		nodes, err := f.Nodes(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(out, nodes)
		}
		last, err := last(ctx, f)
		if err != nil {
			fmt.Fprintln(out, "!", err) // the nodes' own words are shown all the same
		}
		return fleet.WriteStatus(out, nodes, last, time.Now())
	})
	return cmd
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// last is what was stored last, nil for nothing.
func last(ctx context.Context, f admin.Fleet) (*fleet.Version, error) {
	all, err := f.History(ctx, 1)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// author is who changes something, and why.
type author struct{ by, note string }

func (a *author) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.by, "by", defaultAuthor(), "who changes it, for the history")
	cmd.Flags().StringVarP(&a.note, "note", "m", "", "why, for the history")
}

func defaultAuthor() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// share puts a document in force after a version, and tells what became of it.
func (a *author) share(ctx context.Context, f admin.Fleet, out io.Writer, document string, after, restores uint64) error {
	number, verdicts, err := f.Share(ctx, fleet.Proposal{Document: document, By: a.by, Note: a.note, After: after, Restores: restores})
	if err != nil {
		return err
	}
	return fleet.WriteVerdicts(out, number, verdicts)
}

func number(v *fleet.Version) uint64 {
	if v == nil {
		return 0
	}
	return v.Number
}

func ttlSet(r *reach) *cobra.Command {
	a, file := &author{}, ""
	cmd := &cobra.Command{
		Use: "set [KEY=VALUE]...", Short: "Share settings with all nodes: a whole file, or single keys of freshness",
		Long: "Share settings with all nodes.\n\nA file replaces all that was shared. KEY=VALUE changes one key of freshness in it, and KEY= takes it out, so that each node's own holds again.",
	}
	a.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with freshness and rules; - for the standard input")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error {
		before, err := last(ctx, f)
		if err != nil {
			return err
		}
		document, err := proposed(before, file, args)
		if err != nil {
			return err
		}
		return a.share(ctx, f, out, document, number(before), 0)
	})
	return cmd
}

// proposed is the document that a file or single keys make of what was shared before.
func proposed(before *fleet.Version, file string, keys []string) (document string, err error) {
	switch {
	case (file == "") == (len(keys) == 0):
		return "", errors.New("want either KEY=VALUE or --file")
	case file == "-":
		data, err := io.ReadAll(os.Stdin)
		return string(data), nonEmpty(string(data), file, err)
	case file != "":
		data, err := os.ReadFile(file)
		return string(data), nonEmpty(string(data), file, err)
	}
	if before != nil {
		document = before.Document
	}
	for _, pair := range keys {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return "", fmt.Errorf("%q; want KEY=VALUE", pair)
		}
		if document, err = config.SetKey(document, key, value); err != nil {
			return "", err
		}
	}
	return document, nil
}

// nonEmpty refuses a file that says nothing: to share nothing is said by clear.
func nonEmpty(document, file string, err error) error {
	if err == nil && strings.TrimSpace(document) == "" {
		return fmt.Errorf("%s is empty; to share nothing: yupiao ttl clear", file)
	}
	return err
}

func ttlLog(r *reach) *cobra.Command {
	most := 20
	cmd := &cobra.Command{Use: "log [VERSION]", Short: "What was shared when and by whom; or one version as it was written", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().IntVarP(&most, "number", "n", most, "so many of the last versions")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error {
		if len(args) == 1 {
			_, v, err := find(ctx, f, args)
			if err != nil {
				return err
			}
			_, err = io.WriteString(out, v.Document)
			return err
		}
		all, err := f.History(ctx, max(most, 1))
		if err != nil {
			return err
		}
		return fleet.WriteHistory(out, all)
	})
	return cmd
}

// find is the last version, and the one that is named; without a name the one before the last.
func find(ctx context.Context, f admin.Fleet, args []string) (last, named *fleet.Version, err error) {
	const kept = 1000 // of the stream
	all, err := f.History(ctx, kept)
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("%w: nothing was ever shared", fleet.ErrUnknown)
	}
	if len(args) == 0 {
		if len(all) == 1 {
			return nil, nil, fmt.Errorf("%w: version %d is the only one; to share nothing: yupiao ttl clear", fleet.ErrUnknown, all[0].Number)
		}
		return &all[0], &all[1], nil
	}
	want, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("VERSION is %q; want a number, as in yupiao ttl log", args[0])
	}
	for i := range all {
		if all[i].Number == want {
			return &all[0], &all[i], nil
		}
	}
	return nil, nil, fmt.Errorf("%w: version %d; kept are %d to %d", fleet.ErrUnknown, want, all[len(all)-1].Number, all[0].Number)
}

func ttlRollback(r *reach) *cobra.Command {
	a := &author{}
	cmd := &cobra.Command{Use: "rollback [VERSION]", Short: "Share an earlier version again, as a new one; the one before the last if none is named", Args: cobra.MaximumNArgs(1)}
	a.flags(cmd)
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error {
		last, named, err := find(ctx, f, args)
		if err != nil {
			return err
		}
		return a.share(ctx, f, out, named.Document, last.Number, named.Number)
	})
	return cmd
}

func ttlClear(r *reach) *cobra.Command {
	a := &author{}
	cmd := &cobra.Command{Use: "clear", Short: "Share nothing any more: each node's own settings hold", Args: cobra.NoArgs}
	a.flags(cmd)
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, _ []string) error {
		before, err := last(ctx, f)
		if err != nil {
			return err
		}
		return a.share(ctx, f, out, "", number(before), 0)
	})
	return cmd
}

func ttlTry(r *reach) *cobra.Command {
	var node string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "try FILE | KEY=VALUE...", Short: "What a node's live queries would cost, and how many answers would be wrong, under other settings", Args: cobra.MinimumNArgs(1),
		Long: "What a node's live queries of the last two minutes would cost, and how many answers would be wrong, under other settings, beside those in force. Nothing is changed.",
	}
	cmd.Flags().StringVar(&node, "node", "", "id or name of the node to ask; default: the busiest")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the report as JSON")
	cmd.RunE = r.with(func(ctx context.Context, f admin.Fleet, out io.Writer, args []string) error {
		before, err := last(ctx, f)
		if err != nil {
			return err
		}
		file, keys := "", args
		if len(args) == 1 && !strings.Contains(args[0], "=") {
			file, keys = args[0], nil
		}
		document, err := proposed(before, file, keys)
		if err != nil {
			return err
		}
		n, report, err := f.Try(ctx, node, document)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(out, report)
		}
		fmt.Fprintf(out, "node %s (%s)\n", n.Name, n.ID)
		return report.WriteText(out)
	})
	return cmd
}
