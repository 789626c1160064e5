package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthCommand is for containers without a shell, whose runtime asks by a command.
func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use: "health URL", Short: "End with status 0 if a URL answers with 200: for the health checks of containers", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, args[0], nil)
			if err != nil {
				return err
			}
			response, err := (&http.Client{Timeout: 2 * time.Second}).Do(r)
			if err != nil {
				return err
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s says %s", args[0], response.Status)
			}
			return nil
		},
	}
}
