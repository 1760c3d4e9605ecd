// River: `fill`, which takes one message a line, or `work` with settings as JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const insertedAtOnce = 5_000

type settings struct {
	Workers              int   `json:"workers"`
	CooldownMilliseconds int   `json:"cooldown_ms"`
	Connections          int32 `json:"connections"`
}

type message struct {
	MessageID    string            `json:"message_id"`
	EnrollmentID string            `json:"enrollment_id"`
	SequenceID   string            `json:"sequence_id"`
	StepID       string            `json:"step_id"`
	ContactID    string            `json:"contact_id"`
	Attributes   map[string]string `json:"attributes"`
	Addresses    map[string]string `json:"addresses"`
}

func (message) Kind() string { return "send" }

type sender struct {
	river.WorkerDefaults[message]
}

func (sender) Work(context.Context, *river.Job[message]) error { return nil }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	var err error
	switch os.Args[1] {
	case "fill":
		err = fill(ctx)
	case "work":
		err = work(ctx, os.Args[2])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func pool(ctx context.Context, connections int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(os.Getenv("PEER_URL"))
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	return pgxpool.NewWithConfig(ctx, config)
}

func fill(ctx context.Context) error {
	pool, err := pool(ctx, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New[pgx.Tx](driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	client, err := river.NewClient(driver, &river.Config{})
	if err != nil {
		return err
	}
	return insert(ctx, client)
}

func insert(ctx context.Context, client *river.Client[pgx.Tx]) error {
	var some []river.InsertManyParams
	lines := bufio.NewScanner(os.Stdin)
	for more := true; more; {
		if more = lines.Scan(); more {
			var args message
			if err := json.Unmarshal(lines.Bytes(), &args); err != nil {
				return err
			}
			some = append(some, river.InsertManyParams{Args: args})
		}
		if len(some) > 0 && (!more || len(some) >= insertedAtOnce) {
			if _, err := client.InsertManyFast(ctx, some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return lines.Err()
}

func work(ctx context.Context, said string) error {
	var chosen settings
	if err := json.Unmarshal([]byte(said), &chosen); err != nil {
		return err
	}
	pool, err := pool(ctx, chosen.Connections)
	if err != nil {
		return err
	}
	defer pool.Close()
	workers := river.NewWorkers()
	river.AddWorker(workers, sender{})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown: time.Duration(chosen.CooldownMilliseconds) * time.Millisecond,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: chosen.Workers}},
		Workers:       workers,
	})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-client.Stopped()
	return nil
}
