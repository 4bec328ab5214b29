package promquery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// MaxAnswer bounds the bytes of one answer.
const MaxAnswer = 32 << 20

// ErrAnswerTooLarge means that a server's answer has more than MaxAnswer bytes: the query has too many series.
var ErrAnswerTooLarge = errors.New("the answer is too large: aggregate the series of the query")

// Server is a Prometheus server, or anything that speaks its HTTP API.
type Server struct{ api v1.API }

// NewServer makes a Server from its base URL and how it is reached; files of credentials are read again when they change.
func NewServer(url string, access config.HTTPClientConfig) (*Server, error) {
	client, err := config.NewClientFromConfig(access, "promquery", config.WithUserAgent("kubevalue-promquery"))
	if err != nil {
		return nil, fmt.Errorf("promquery: server %s: %w", url, err)
	}
	client.Transport = bounded{client.Transport}
	speaker, err := api.NewClient(api.Config{Address: url, Client: client})
	if err != nil {
		return nil, fmt.Errorf("promquery: server %s: %w", url, err)
	}
	return &Server{v1.NewAPI(speaker)}, nil
}

// Ask evaluates a query at every step of a range.
func (s *Server) Ask(ctx context.Context, query string, r Range) (model.Matrix, error) {
	value, _, err := s.api.QueryRange(ctx, query, v1.Range{Start: r.First, End: r.Last, Step: r.Step})
	var spoken *v1.Error
	if errors.As(err, &spoken) && spoken.Type == v1.ErrBadResponse {
		return nil, fmt.Errorf("the answer is none of Prometheus' API: is the URL that of a server, such as http://prometheus:9090, and its scheme right? %w", err)
	}
	if err != nil {
		return nil, err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the answer is a %s, not a matrix", value.Type())
	}
	return matrix, nil
}

// Refused says whether an error is the server's judgement of the question, which asking again does not change.
func Refused(err error) bool {
	var e *v1.Error
	return errors.As(err, &e) && (e.Type == v1.ErrBadData || e.Type == v1.ErrExec) || errors.Is(err, ErrAnswerTooLarge)
}

// bounded keeps an endless answer from filling the memory.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: MaxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrAnswerTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
