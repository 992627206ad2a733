// SPDX-License-Identifier: Apache-2.0

// Command backend is the program in the lab's pods: over HTTP and UDP it says which pod and node it is, and whom it
// sees.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
)

type answer struct {
	Pod    string `json:"pod"`
	Node   string `json:"node"`
	Client string `json:"client"`
}

func main() {
	var self answer
	flag.StringVar(&self.Pod, "pod", "", "name of the pod")
	flag.StringVar(&self.Node, "node", "", "name of its node")
	httpPort := flag.Int("http", 8080, "port of the HTTP server")
	udpPort := flag.Int("udp", 8080, "port of the UDP server")
	flag.Parse()

	packets, err := net.ListenPacket("udp", fmt.Sprintf(":%d", *udpPort)) //nolint:noctx // it serves until it is killed
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(serveUDP(packets, self)) }()
	log.Fatal(http.ListenAndServe(fmt.Sprintf(":%d", *httpPort), http.HandlerFunc(self.serveHTTP)))
}

func (a answer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	a.Client = r.RemoteAddr
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(a); err != nil {
		log.Printf("answer %s: %v", a.Client, err)
	}
}

// serveUDP answers every datagram with one.
func serveUDP(packets net.PacketConn, self answer) error {
	buffer := make([]byte, 1500)
	for {
		_, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return err
		}
		self.Client = from.String()
		data, err := json.Marshal(self)
		if err != nil {
			return err
		}
		if _, err := packets.WriteTo(data, from); err != nil {
			log.Printf("answer %s: %v", from, err)
		}
	}
}
