package main

import (
	"context"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/go-logr/logr"
)

const finalizer = "pond.test/keeper"

// keeper makes a ConfigMap for each Trigger, owned by it, says so in its status, and is asked before the Trigger goes.
type keeper struct {
	client.Client
	letGo atomic.Int32
}

func newTrigger() *unstructured.Unstructured {
	one := &unstructured.Unstructured{}
	one.SetGroupVersionKind(triggers.GroupVersion().WithKind("Trigger"))
	return one
}

func (k *keeper) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	one := newTrigger()
	if err := k.Get(ctx, request.NamespacedName, one); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := one.DeepCopy()
	if !one.GetDeletionTimestamp().IsZero() {
		if controllerutil.RemoveFinalizer(one, finalizer) {
			k.letGo.Add(1)
			return reconcile.Result{}, client.IgnoreNotFound(k.Patch(ctx, one, client.MergeFrom(before)))
		}
		return reconcile.Result{}, nil
	}
	if controllerutil.AddFinalizer(one, finalizer) {
		return reconcile.Result{}, k.Patch(ctx, one, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	}
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: one.GetName(), Namespace: one.GetNamespace()}}
	_, err := controllerutil.CreateOrUpdate(ctx, k.Client, kept, func() error {
		kept.Data = map[string]string{"trigger": one.GetName()}
		return controllerutil.SetControllerReference(one, kept, k.Scheme())
	})
	if err != nil {
		return reconcile.Result{}, err
	}
	if err := unstructured.SetNestedField(one.Object, one.GetGeneration(), "status", "observedGeneration"); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, k.Status().Patch(ctx, one, client.MergeFrom(before))
}

// A controller as they are written with controller-runtime.
func reconciler(ctx context.Context, config *rest.Config, namespace string) error {
	log.SetLogger(logr.Discard())
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics:                 server.Options{BindAddress: "0"},
		Cache:                   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		LeaderElection:          true,
		LeaderElectionID:        "keeper",
		LeaderElectionNamespace: namespace,
	})
	if err != nil {
		return err
	}
	kept := &keeper{Client: manager.GetClient()}
	if err := ctrl.NewControllerManagedBy(manager).For(newTrigger()).Owns(&corev1.ConfigMap{}).Complete(kept); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()
	direct, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	if err := exercised(ctx, direct, kept, namespace); err != nil {
		return err
	}
	stop()
	return <-ended
}

func exercised(ctx context.Context, direct client.Client, kept *keeper, namespace string) error {
	one := trigger("t")
	one.SetNamespace(namespace)
	if err := direct.Create(ctx, one); err != nil {
		return err
	}
	at, found := client.ObjectKeyFromObject(one), &corev1.ConfigMap{}
	isKept := func() bool { return direct.Get(ctx, at, found) == nil && metav1.IsControlledBy(found, one) }
	if err := until(ctx, "its ConfigMap is there", isKept); err != nil {
		return err
	}
	if err := direct.Delete(ctx, found); err != nil {
		return err
	}
	if err := until(ctx, "its ConfigMap is there again", isKept); err != nil {
		return err
	}
	if err := until(ctx, "its status says so", func() bool {
		if direct.Get(ctx, at, one) != nil {
			return false
		}
		seen, _, _ := unstructured.NestedInt64(one.Object, "status", "observedGeneration")
		return seen == one.GetGeneration()
	}); err != nil {
		return err
	}
	if err := direct.Delete(ctx, one); err != nil {
		return err
	}
	isGone := func() bool { return errors.IsNotFound(direct.Get(ctx, at, newTrigger())) }
	if err := until(ctx, "the Trigger is gone", isGone); err != nil {
		return err
	}
	if kept.letGo.Load() == 0 {
		return fmt.Errorf("it went unasked")
	}
	return until(ctx, "what it owned is gone", func() bool { return errors.IsNotFound(direct.Get(ctx, at, found)) })
}
