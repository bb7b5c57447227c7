// Command reviews answers as bookinfo's reviews service does, in place of its 700 MB Java image.
//
// SERVICE_VERSION (v1, v2, v3) is set by the image, as in the original. Unlike the original, v2 and
// v3 know their stars themselves: no ratings service is asked.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

var colours = map[string]string{"v1": "", "v2": "black", "v3": "red"}

var texts = []struct {
	reviewer, text string
	stars          int
}{
	{"Reviewer1", "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!", 5},
	{"Reviewer2", "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.", 4},
}

// body keeps the original's spacing: its JSON is put together from strings, and tests compare text.
func body(id, pod, cluster, colour string) string {
	var reviews []string
	for _, t := range texts {
		rating := ""
		if colour != "" {
			rating = fmt.Sprintf(`, "rating": {"stars": %d, "color": "%s"}`, t.stars, colour)
		}
		reviews = append(reviews, fmt.Sprintf(`{  "reviewer": "%s",  "text": "%s"%s}`, t.reviewer, t.text, rating))
	}
	return fmt.Sprintf(`{"id": "%s","podname": "%s","clustername": "%s","reviews": [%s]}`,
		id, pod, cluster, strings.Join(reviews, ","))
}

func main() {
	colour, known := colours[os.Getenv("SERVICE_VERSION")]
	if !known {
		log.Fatalf("SERVICE_VERSION is %q: expected v1, v2 or v3", os.Getenv("SERVICE_VERSION"))
	}
	pod, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	cluster := os.Getenv("CLUSTER_NAME")
	if cluster == "" {
		cluster = "null" // what Java makes of a variable that is not set
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status": "Reviews is healthy"}`)
	})
	mux.HandleFunc("GET /reviews/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if strings.Trim(id, "0123456789") != "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body(id, pod, cluster, colour))
	})
	server := &http.Server{Addr: ":9080", Handler: mux}
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
