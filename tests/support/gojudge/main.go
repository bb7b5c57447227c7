// Says of CAs whether istiod starts with them and what it signs is accepted: the judge of test_go_judge.py.
//
// Each line of the input is a JSON object with a name, a moment and the four files of a Secret cacerts. For each
// there is a line with the name and why Go refuses it; empty where it does not. The steps are those of istiod
// (security/pkg/pki/util Verify, security/pkg/pki/ca, pilot/pkg/bootstrap, pilot/pkg/trustbundle; 1.26.0), done
// with Go's own libraries alone.
package main

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"
)

const istiod = "istiod.istio-system.svc"

type secret struct {
	Name  string `json:"name"`
	Time  int64  `json:"time"`
	Cert  []byte `json:"ca-cert.pem"`
	Key   []byte `json:"ca-key.pem"`
	Chain []byte `json:"cert-chain.pem"`
	Root  []byte `json:"root-cert.pem"`
}

type verdict struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<26)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		var given secret
		if err := json.Unmarshal(input.Bytes(), &given); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		why := ""
		if err := given.judge(); err != nil {
			why = err.Error()
		}
		if err := output.Encode(verdict{given.Name, why}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := input.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s secret) judge() error {
	now := time.Unix(s.Time, 0)
	ca, err := firstCertificate("ca-cert", s.Cert)
	if err != nil {
		return err
	}
	key, err := s.load(ca, now)
	if err != nil {
		return err
	}
	if err := s.start(now); err != nil {
		return err
	}
	return s.serve(ca, key, now)
}

// load does what istiod does with the files before it uses them.
func (s secret) load(ca *x509.Certificate, now time.Time) (crypto.PrivateKey, error) {
	options := x509.VerifyOptions{Roots: pool(s.Root), Intermediates: pool(s.Chain), CurrentTime: now}
	if _, err := ca.Verify(options); err != nil {
		return nil, fmt.Errorf("ca-cert: %w", err)
	}
	key, err := privateKey(s.Key)
	if err != nil {
		return nil, fmt.Errorf("ca-key: %w", err)
	}
	if _, err := tls.X509KeyPair(s.Cert, s.Key); err != nil {
		return nil, fmt.Errorf("pair: %w", err)
	}
	if !ca.IsCA {
		return nil, errors.New("ca-cert: no CA")
	}
	return key, nil
}

// start does what istiod does before it serves: how long the CA lasts, and which roots it gives out.
func (s secret) start(now time.Time) error {
	if len(s.Chain) > 0 {
		first, err := firstCertificate("cert-chain", s.Chain)
		if err != nil {
			return err
		}
		if !first.NotAfter.After(now) {
			return errors.New("cert-chain: expired")
		}
	}
	anchor, err := firstCertificate("root-cert", s.Root)
	if err == nil && !anchor.IsCA {
		err = errors.New("root-cert: no CA")
	}
	return err
}

// serve signs istiod's own certificate, and verifies it with nothing but what istiod shows and gives out.
func (s secret) serve(ca *x509.Certificate, key crypto.PrivateKey, now time.Time) error {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             now.Add(-2 * time.Minute),
		NotAfter:              now.Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{istiod},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, ca, own.Public(), key)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	form, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return err
	}
	shown := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), s.Chain...)
	pair, err := tls.X509KeyPair(shown, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: form}))
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	above := x509.NewCertPool()
	for at, der := range pair.Certificate {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("serving: %w", err)
		}
		if at > 0 {
			above.AddCert(certificate)
		}
	}
	options := x509.VerifyOptions{Roots: pool(s.Root), Intermediates: above, CurrentTime: now, DNSName: istiod}
	if _, err := pair.Leaf.Verify(options); err != nil {
		return fmt.Errorf("signed: %w", err)
	}
	return nil
}

func pool(bundle []byte) *x509.CertPool {
	made := x509.NewCertPool()
	made.AppendCertsFromPEM(bundle)
	return made
}

func firstCertificate(file string, bundle []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(bundle)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", file)
	}
	found, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return found, nil
}

func privateKey(file []byte) (crypto.PrivateKey, error) {
	block, _ := pem.Decode(file)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("no private key: %s", block.Type)
}
