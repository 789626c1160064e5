package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/cluster"
	"github.com/yupiao/yupiao/pkg/rail"
)

func clusterCommand() *cobra.Command {
	var o cluster.Options
	var verbose bool
	cmd := &cobra.Command{
		Use: "cluster", Short: "A whole fleet as processes on this machine: three NATS servers, the booking backend, three query nodes, a balancer", Args: cobra.NoArgs,
		Long: `A whole fleet as processes on this machine: three NATS servers, the booking backend, three query nodes, a balancer, and people who buy.

Kill any of the processes: no query fails, and it is started again. It is run in the project's folder, since it builds the programs; docker-compose.yml describes the
same with containers.`,
	}
	f := cmd.Flags()
	f.StringVar(&o.HTTP, "http", "127.0.0.1:8080", "address of the balancer: the page and the API")
	f.StringVar(&o.Database, "database", "", "database of the booking backend, such as postgres://user@host/database; default: SQLite in a temporary folder")
	f.BoolVar(&o.Postgres, "postgres", false, "keep the orders in a PostgreSQL server of the cluster's own, which must be installed (Debian: apt-get install postgresql)")
	f.BoolVar(&o.NoRestart, "no-restart", false, "do not start again what has ended, to watch what becomes of the others")
	f.Float64Var(&o.SalesPerSecond, "sales-per-second", 50, "acts of buyers a second, 0 for none")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of what they do")
	f.StringVar(&o.Programs, "programs", "", "folder with bookingd, yupiaod and nats-server; default: they are built")
	f.BoolVarP(&verbose, "verbose", "v", false, "write what all processes write, with their names")
	cmd.MarkFlagsMutuallyExclusive("database", "postgres")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if o.Out = cmd.OutOrStdout(); verbose {
			o.All = io.Writer(os.Stderr)
		}
		c, err := cluster.Start(cmd.Context(), o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Stop()) }()
		from, to := c.Schedule().Busiest()
		example := fmt.Sprintf("/v1/availability?from=%s&to=%s&date=%s", from, to, rail.DateOf(time.Now(), time.Local)+1)
		if err := c.Describe(cmd.OutOrStdout(), example); err != nil {
			return err
		}
		return c.Wait(cmd.Context())
	}
	return cmd
}
