package app

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/outcrop/outcrop/internal/app/awskeys"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/settings"
)

// modelsName is the model configuration in the data directory.
const modelsName = "models.json"

// openModels reads the model configuration: the file that was named, or that of the
// data directory if it is there. The server does not start with one that is wrong.
func (s *Server) openModels(cfg Config) (*llm.Models, error) {
	path := cmp.Or(cfg.Models, filepath.Join(cfg.DataDir, modelsName))
	data, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) && cfg.Models == "" {
		data, err = []byte("{}"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read model configuration: %w", err)
	}
	configured, err := llm.ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("read model configuration %s: %w", path, err)
	}
	models, err := llm.New(configured, llm.Options{
		Getenv: os.Getenv, ReadFile: os.ReadFile, AWS: awskeys.Profile, Proxy: http.ProxyFromEnvironment, Now: time.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("read model configuration %s: %w", path, err)
	}
	s.closers = append(s.closers, func() error { models.Close(); return nil })
	return models, nil
}

// readBounded reads a file of which more than the bound is a mistake.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, settings.MaxFile+1))
}
