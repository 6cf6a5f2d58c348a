// Command apigen reads AWS's service models as one pinned botocore ships them
// and writes internal/api/model and docs/operations.md.
//
// Names, members, bindings and constraints are facts and are taken over; the
// models' prose is not. What Outcrop decides by itself (which operations are
// served, what a caller must be allowed, where a constraint is wider) stands
// in overlay.go, with the reason.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("apigen: ")
	root := flag.String("root", ".", "top of the checkout, where internal/api/model and docs are written")
	cache := flag.String("cache", defaultCache(), "folder that keeps the downloaded wheels")
	flag.Parse()
	if err := run(*root, *cache); err != nil {
		log.Fatal(err)
	}
}

// run generates every service of the overlay and the ledger.
func run(root, cache string) error {
	models, err := openWheel(cache, botocorePin)
	if err != nil {
		return err
	}
	policies, err := openWheel(cache, policySentryPin)
	if err != nil {
		return err
	}
	actions, err := loadActions(policies)
	if err != nil {
		return err
	}
	var ledger []ledgerService
	for _, o := range services {
		m, err := loadModel(models, o)
		if err != nil {
			return err
		}
		g := &generator{model: m, overlay: o, actions: actions[o.signingName()], published: actions}
		if err := g.prepare(); err != nil {
			return fmt.Errorf("generate %s: %w", o.Model, err)
		}
		dir := filepath.Join(root, "internal", "api", "model", o.Package)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, emit := range map[string]func() []byte{
			"types.go": g.types, "tables.go": g.tables, "handlers.go": g.handlers,
		} {
			if err := writeGo(filepath.Join(dir, name), emit()); err != nil {
				return err
			}
		}
		ledger = append(ledger, g.ledger())
		served, refused := g.counts()
		fmt.Printf("%-28s %4d operations: %d served, %d refused; %d shapes, %d constraints\n",
			o.Model, served+refused, served, refused, len(g.shapes), g.constraints())
	}
	if err := writeGo(filepath.Join(root, "internal", "api", "model", "model.go"), list(services)); err != nil {
		return err
	}
	return writeLedger(filepath.Join(root, "docs", "operations.md"), ledger)
}
