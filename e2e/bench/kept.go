// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-io/fairlead/e2e/lab"
)

const (
	// keptCount is how many connections are held open.
	keptCount = 12
	// keptPause is the time between two requests on a connection.
	keptPause = 50 * time.Millisecond
	// keptTimeout is how long a request may take before its connection counts as broken: TCP sends anew several times
	// within it.
	keptTimeout = 3 * time.Second
)

// keptConnections are held open by one client, which asks over each of them again and again.
type keptConnections struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	all    []*keptConnection
}

// keptConnection is one of them. Its fields are read after stop.
type keptConnection struct {
	conn   net.Conn
	backer lab.Answer // who answers
	err    error      // that ended it
}

// keepConnections opens the connections. The caller calls stop.
func (c *cluster) keepConnections(ctx context.Context) (*keptConnections, error) {
	run, cancel := context.WithCancel(ctx)
	k := &keptConnections{cancel: cancel}
	for range keptCount {
		conn, err := c.lab.Dial(ctx, lab.Client, "tcp", net.JoinHostPort(c.service.address, "80"))
		if err != nil {
			k.stop()
			return nil, fmt.Errorf("opening a connection to be kept: %w", err)
		}
		one := &keptConnection{conn: conn}
		k.all = append(k.all, one)
		k.wg.Go(func() { one.use(run) })
	}
	return k, nil
}

// use asks until ctx is done or the connection is broken.
func (k *keptConnection) use(ctx context.Context) {
	reader := bufio.NewReader(k.conn)
	for ctx.Err() == nil {
		by, err := k.ask(reader)
		if err != nil {
			k.err = err
			return
		}
		k.backer = by
		if sleep(ctx, keptPause) != nil {
			return
		}
	}
}

func (k *keptConnection) ask(reader *bufio.Reader) (by lab.Answer, err error) {
	if err := k.conn.SetDeadline(time.Now().Add(keptTimeout)); err != nil {
		return by, err
	}
	if _, err := fmt.Fprint(k.conn, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return by, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return by, err
	}
	defer response.Body.Close()
	return by, json.NewDecoder(response.Body).Decode(&by)
}

// stop closes the connections and returns k, of which broken counts those that did not last until now.
func (k *keptConnections) stop() *keptConnections {
	k.cancel()
	k.wg.Wait()
	for _, one := range k.all {
		_ = one.conn.Close() // nothing is written to it any more
	}
	return k
}

// broken counts the connections that broke, and those of them whose backend was on the node.
func (k *keptConnections) broken(node string) (all, there int) {
	for _, one := range k.all {
		if one.err == nil {
			continue
		}
		all++
		if one.backer.Node == node {
			there++
		}
	}
	return all, there
}
