//go:build otel

package trace

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Enabled reports whether messages are traced.
const Enabled = true

// Moment is a time.
type Moment time.Time

// Now returns the present time.
func Now() Moment { return Moment(time.Now()) }

// Message is the trace of one message. The zero Message has none. One goroutine at a time
// calls its methods.
type Message struct{ *spans }

type spans struct {
	ctx         context.Context // of the whole message
	whole, part trace.Span
}

// scope is the name of this instrumentation.
const scope = "kaban"

// Read begins the trace of a message that was read in a round that began then.
func Read(at Moment) Message {
	ctx, whole := otel.Tracer(scope).Start(context.Background(), "message", trace.WithTimestamp(time.Time(at)), trace.WithSpanKind(trace.SpanKindServer))
	m := Message{&spans{ctx: ctx, whole: whole}}
	_, m.part = otel.Tracer(scope).Start(ctx, "read", trace.WithTimestamp(time.Time(at)))
	return m
}

func (m Message) begin(stage string) {
	if m.spans != nil {
		_, m.part = otel.Tracer(scope).Start(m.ctx, stage)
	}
}

func (m Message) end() {
	if m.spans != nil {
		m.part.End()
	}
}

// Submitted ends the stage "read".
func (m Message) Submitted() { m.end() }

// Committing begins the stage "commit", with the number of sends in the batch.
func (m Message) Committing(sends int) {
	m.begin("commit")
	if m.spans != nil {
		m.part.SetAttributes(attribute.Int("kaban.batch.sends", sends))
	}
}

// Committed ends it. With an error the trace ends.
func (m Message) Committed(err error) {
	m.end()
	if m.spans != nil && err != nil {
		m.whole.SetStatus(codes.Error, "the store did not take it")
		m.whole.End()
	}
}

// Publishing begins the stage "fan-out".
func (m Message) Publishing() { m.begin("fan-out") }

// Published ends it, and the trace.
func (m Message) Published() {
	m.end()
	if m.spans != nil {
		m.whole.End()
	}
}

// endpoints are the variables of OpenTelemetry that say where traces go.
var endpoints = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}

// Setup has all traces exported, if one of the variables says where to. stop sends what
// is left.
func Setup(ctx context.Context, version string, log *slog.Logger) (stop func(context.Context) error, err error) {
	if os.Getenv(endpoints[0]) == "" && os.Getenv(endpoints[1]) == "" {
		log.Info("this binary can export traces; say where to with OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318")
		return func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "kaban"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces could not be exported", "err", err) }))
	return use(sdk.WithBatcher(exporter), sdk.WithResource(about)), nil
}

// use has all traces go to a processor.
func use(options ...sdk.TracerProviderOption) (stop func(context.Context) error) {
	provider := sdk.NewTracerProvider(options...)
	otel.SetTracerProvider(provider)
	return provider.Shutdown
}
