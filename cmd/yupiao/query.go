package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/yupiao/yupiao/pkg/board"
	"github.com/yupiao/yupiao/pkg/rail"
)

// search is what query and watch have in common.
type search struct {
	client board.Client
	params url.Values
	colour bool
	out    io.Writer
}

// searchCommand makes a command that takes FROM TO DATE and the filters of a seat search.
func searchCommand(use, short string, run func(cmd *cobra.Command, s *search) error) *cobra.Command {
	s := &search{params: url.Values{}}
	filters := map[string]*string{}
	cmd := &cobra.Command{
		Use: use + " FROM TO DATE", Short: short, Args: cobra.ExactArgs(3),
		Long:    short + ".\n\nFROM and TO are station codes, names, pinyin, or city:NAME; DATE is YYYY-MM-DD, today or tomorrow.",
		Example: "  yupiao " + use + " 北京 上海 tomorrow\n  yupiao " + use + " beijingnan shanghaihongqiao today --scope station --available true",
		RunE: func(cmd *cobra.Command, args []string) error {
			s.params.Set("from", args[0])
			s.params.Set("to", args[1])
			s.params.Set("date", date(args[2], time.Now()))
			for name, value := range filters {
				if *value != "" {
					s.params.Set(name, *value)
				}
			}
			s.out, s.colour = cmd.OutOrStdout(), isTerminal(os.Stdout)
			return run(cmd, s)
		},
	}
	cmd.Flags().StringVar(&s.client.Server, "server", "http://127.0.0.1:8080", "address of a query node")
	for name, help := range map[string]string{
		"types": "train types, such as G,D", "depart": "departure between, such as 06:00-12:00", "arrive": "arrival between", "classes": "classes to show, such as O,M",
		"available": "true: only trains with places left", "seats": "only trains with places for a party of so many", "sort": "departure, arrival, duration or fare",
		"scope": "city or station", "lang": "zh, en or ko",
	} {
		filters[name] = cmd.Flags().String(name, "", help)
	}
	return cmd
}

// date turns "today" and "tomorrow" into a date; the node judges everything else.
func date(text string, now time.Time) string {
	today := rail.DateOf(now, now.Location())
	switch text {
	case "today":
		return today.String()
	case "tomorrow":
		return (today + 1).String()
	default:
		return text
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func queryCommand() *cobra.Command {
	return searchCommand("query", "Trains between two places and what is left on them", func(cmd *cobra.Command, s *search) error {
		answer, fresh, err := s.client.Query(cmd.Context(), s.params)
		if err != nil {
			return err
		}
		return board.Write(s.out, answer, fresh, board.Style{Colour: s.colour, Now: time.Now()})
	})
}

func watchCommand() *cobra.Command {
	return searchCommand("watch", "The same, live: the table is drawn again whenever something changes", func(cmd *cobra.Command, s *search) error {
		return s.client.Watch(cmd.Context(), s.params, func(u board.Update) {
			if s.colour {
				fmt.Fprint(s.out, "\x1b[H\x1b[2J")
			} else if len(u.Changed) == 0 && u.Fresh.State != "" {
				return // a status line for each second is of no use in a file
			}
			_ = board.Write(s.out, u.Answer, u.Fresh, board.Style{Colour: s.colour, Highlight: u.Changed, Now: time.Now()}) // a closed pipe ends the program
		})
	})
}
