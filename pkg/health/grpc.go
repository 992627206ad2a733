// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// probeGRPC passes where grpc.health.v1.Health/Check says SERVING, over a connection of its own without TLS.
func probeGRPC(ctx context.Context, c Check) error {
	refused := make(chan error, 1) // says more than what gRPC makes of it
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("fairlead-health"),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			conn, err := dial(ctx, c)
			if err == nil {
				return conn, nil
			}
			select {
			case refused <- err:
			default:
			}
			return nil, err
		}),
	}
	if c.Host != "" {
		options = append(options, grpc.WithAuthority(c.Host))
	}
	conn, err := grpc.NewClient("passthrough:///"+c.Target.String(), options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: c.Path})
	select {
	case err := <-refused:
		return err
	default:
	}
	if status.Code(err) == codes.DeadlineExceeded {
		return context.DeadlineExceeded // the server, which is told how long there is, may be the first to give up
	}
	if err != nil {
		return fmt.Errorf("%s: %s", status.Code(err), status.Convert(err).Message())
	}
	if resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("status %s, want SERVING", resp.GetStatus())
	}
	return nil
}
