// Command loadbalancer is the cloud's side of a Service of type LoadBalancer, for one lab cluster.
//
// Three providers differ in what they write into the Service's status and in who forwards:
//
//	-ip ADDRESS         the address goes into the status; the cluster's own kube-proxy forwards
//	-hostname NAME      the name goes into the status; nothing else
//	(neither)           the status stays as it is: the Service is pending for ever
//	-nat ADDRESS -node ADDRESS   per-port DNAT from one address to the node's nodePorts, in the
//	                    network namespace this runs in: outside the node, as a provider's is
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"os/signal"
	"reflect"
	"sort"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type balancer struct {
	client                  kubernetes.Interface
	services                listers.ServiceLister
	ip, hostname, nat, node string
	rules                   string
}

// wanted is the status this provider gives, and whether it gives one at all.
func (b *balancer) wanted() ([]corev1.LoadBalancerIngress, bool) {
	switch {
	case b.ip != "":
		mode := corev1.LoadBalancerIPModeVIP // the API server's default; unset would differ for ever
		return []corev1.LoadBalancerIngress{{IP: b.ip, IPMode: &mode}}, true
	case b.hostname != "":
		return []corev1.LoadBalancerIngress{{Hostname: b.hostname}}, true
	}
	return nil, false
}

func (b *balancer) writeStatus(ctx context.Context, service *corev1.Service) error {
	ingress, gives := b.wanted()
	if !gives || reflect.DeepEqual(service.Status.LoadBalancer.Ingress, ingress) {
		return nil
	}
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = ingress
	_, err := b.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if err == nil {
		log.Printf("%s/%s: status written", service.Namespace, service.Name)
	}
	return err
}

// natTable is the whole nat table as iptables-restore reads it. Where two Services want one port,
// the older has it.
func natTable(services []*corev1.Service, nat, node string) string {
	sort.Slice(services, func(i, j int) bool {
		a, b := services[i], services[j]
		if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
			return a.CreationTimestamp.Before(&b.CreationTimestamp)
		}
		return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
	})
	taken := map[string]bool{}
	var table strings.Builder
	table.WriteString("*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n")
	for _, service := range services {
		for _, port := range service.Spec.Ports {
			protocol := strings.ToLower(string(port.Protocol))
			key := fmt.Sprintf("%s/%d", protocol, port.Port)
			if port.NodePort == 0 || taken[key] {
				continue
			}
			taken[key] = true
			fmt.Fprintf(&table, "-A PREROUTING -d %s -p %s --dport %d -j DNAT --to-destination %s:%d\n",
				nat, protocol, port.Port, node, port.NodePort)
		}
	}
	fmt.Fprintf(&table, "-A POSTROUTING -d %s -j MASQUERADE\nCOMMIT\n", node)
	return table.String()
}

func (b *balancer) writeRules(ctx context.Context, services []*corev1.Service) error {
	rules := natTable(services, b.nat, b.node)
	if b.nat == "" || rules == b.rules {
		return nil
	}
	restore := exec.CommandContext(ctx, "iptables-restore", "--wait")
	restore.Stdin = strings.NewReader(rules)
	if out, err := restore.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, out)
	}
	b.rules = rules
	log.Printf("%d ports forwarded", strings.Count(rules, "-j DNAT"))
	return nil
}

// settle brings everything to where the Services say; it is cheap, so every change runs it whole.
func (b *balancer) settle(ctx context.Context) error {
	all, err := b.services.List(labels.Everything())
	if err != nil {
		return err
	}
	var balanced []*corev1.Service
	for _, service := range all {
		if service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.DeletionTimestamp == nil {
			balanced = append(balanced, service)
		}
	}
	for _, service := range balanced {
		if err := b.writeStatus(ctx, service); err != nil {
			return err
		}
	}
	return b.writeRules(ctx, balanced)
}

func (b *balancer) run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(b.client, 0)
	informer := factory.Core().V1().Services()
	b.services = informer.Lister()
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { mark() },
		UpdateFunc: func(any, any) { mark() },
		DeleteFunc: func(any) { mark() },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	mark()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-dirty:
		}
		if err := b.settle(ctx); err != nil && ctx.Err() == nil {
			log.Printf("again in a second: %v", err)
			time.AfterFunc(time.Second, mark)
		}
	}
}

func main() {
	b := &balancer{}
	kubeconfig := flag.String("kubeconfig", "", "the cluster's kubeconfig")
	flag.StringVar(&b.ip, "ip", "", "address to write into the status")
	flag.StringVar(&b.hostname, "hostname", "", "hostname to write into the status")
	flag.StringVar(&b.nat, "nat", "", "address whose ports are forwarded to the node")
	flag.StringVar(&b.node, "node", "", "the node's address, with -nat")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	if b.client, err = kubernetes.NewForConfig(config); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := b.run(ctx); err != nil {
		log.Fatal(err)
	}
}
