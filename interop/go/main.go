// The cases of the Go client: `go-client NAMESRV BROKER` prints a line of JSON for each, with what a user of the client saw.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const patience = 60 * time.Second

type testCase struct {
	name string
	play func() string
}

var (
	namesrv primitive.NamesrvAddr
	broker  string
)

func main() {
	rlog.SetLogLevel("error")
	namesrv, broker = primitive.NamesrvAddr{os.Args[1]}, os.Args[2]
	cases := append(append(sendCases, consumeCases...), otherCases...)
	answers := make([]string, len(cases))
	var all sync.WaitGroup
	for i := range cases {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			answers[i] = played(cases[i])
		}(i)
	}
	all.Wait()
	for i, one := range cases {
		line, _ := json.Marshal(answers[i])
		fmt.Printf("{\"case\":%q,\"answer\":%s}\n", one.name, line)
	}
}

// played turns a panic into an answer: must is how a case gives up.
func played(one testCase) (answer string) {
	defer func() {
		if problem := recover(); problem != nil {
			answer = fmt.Sprint("FAILED: ", problem)
		}
	}()
	return one.play()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// unique makes names that no other case and no other run uses.
func unique(prefix string) string {
	return fmt.Sprintf("%s_%d", prefix, time.Now().UnixNano())
}

func background() context.Context {
	return context.Background()
}

// awaited returns what comes out of the channel, or gives up.
func awaited(answers <-chan string) string {
	select {
	case answer := <-answers:
		return answer
	case <-time.After(patience):
		panic(fmt.Sprintf("nothing within %v", patience))
	}
}
