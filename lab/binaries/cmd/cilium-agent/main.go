// Command cilium-agent stands in for Cilium's agent: its settings, not its dataplane.
//
// Like the real agent it reads the mounted cilium-config once, when it starts. What it then answers
// at /config is what it runs with, so an agent that was not restarted after a change shows.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func read(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") { // the kubelet's ..data links
			continue
		}
		value, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		settings[entry.Name()] = string(value)
	}
	return settings, nil
}

func main() {
	dir := flag.String("config-dir", "/tmp/cilium/config-map", "folder with one file a setting")
	listen := flag.String("listen", ":9879", "address of /healthz and /config")
	flag.Parse()
	settings, err := read(*dir)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("started with %d settings of %s", len(settings), *dir)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(settings)
	})
	server := &http.Server{Addr: *listen, Handler: mux}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
