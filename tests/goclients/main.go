// goclients: what programs written in Go do with an API, one exercise a run: it ends with 0 when all was as it should be.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

type exercise func(ctx context.Context, config *rest.Config, namespace string) error

var exercises = map[string]exercise{
	"informer":   informer,
	"resync":     resync,
	"mapper":     mapper,
	"election":   election,
	"apply":      apply,
	"watchlist":  watchList,
	"pages":      pages,
	"reconciler": reconciler,
}

// goclients KUBECONFIG NAMESPACE EXERCISE
func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		fail(err)
	}
	config.QPS, config.Burst = -1, -1
	os.Setenv("KUBE_FEATURE_WatchListClient", "true") // read at the first look at a feature
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := exercises[os.Args[3]](ctx, config, os.Args[2]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// until waits for something to become true.
func until(ctx context.Context, what string, condition func() bool) error {
	seen := func(context.Context) (bool, error) { return condition(), nil }
	if err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 20*time.Second, true, seen); err != nil {
		return fmt.Errorf("not in time: %s", what)
	}
	return nil
}
