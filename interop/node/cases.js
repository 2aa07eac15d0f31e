// The cases of the Node client: `node cases.js NAMESRV` prints a line of JSON for each, with what a user of it saw.
// This client cannot make topics: each case needs the one of its name.
'use strict';

const { Consumer, Producer, Message } = require('ali-ons');

const nameSrv = process.argv[2];
const PATIENCE_MS = 60000;
const quiet = { info() {}, warn() {}, error(problem) { console.error(problem); }, debug() {} };
let clients = 0;

function options(more) {
  return {
    nameSrv,
    httpclient: {}, // asked for, and used only to find a name server by HTTP
    logger: quiet,
    accessKeyId: 'none',
    accessKeySecret: 'none',
    instanceName: `node-${process.pid}-${clients++}`,
    pollNameServerInteval: 1000,
    rebalanceInterval: 1000,
    heartbeatBrokerInterval: 1000,
    persistConsumerOffsetInterval: 500,
    ...more,
  };
}

async function send(topic, texts, change = () => {}) {
  const producer = new Producer(options({ producerGroup: `${topic}-producers` }));
  await producer.ready();
  const results = [];
  for (const text of texts) {
    const message = new Message(topic, text, text);
    change(message);
    results.push(await producer.send(message));
  }
  await producer.close();
  return results;
}

/** What comes, at most `count` messages, as `told` tells them. */
async function consumed({ topic, group = `${topic}-group`, tags = '*', count, told = message => message.body.toString(), more = {} }) {
  const got = [];
  const consumer = new Consumer(options({ consumerGroup: group, ...more }));
  await new Promise((resolve, reject) => {
    const alarm = setTimeout(() => reject(new Error(`${got.length} of ${count} messages came`)), PATIENCE_MS);
    consumer.subscribe(topic, tags, async message => {
      got.push(told(message));
      if (got.length >= count) {
        clearTimeout(alarm);
        setTimeout(resolve, 1000); // for what should not come, and the offsets to be stored
      }
    });
  });
  await consumer.close();
  return got;
}

const cases = {
  async 'synchronous sends'(topic) {
    const results = await send(topic, [ 'one', 'two' ]);
    return results.map(result => `${result.sendStatus} with an id of ${result.msgId.length} digits`).join(', then ');
  },

  async 'send to a topic that is not there'() {
    try {
      await send('nowhere', [ 'lost' ]);
      return 'it is sent';
    } catch (error) {
      return `error: ${error.message.split('\n')[0]}`;
    }
  },

  async 'concurrent consumer'(topic) {
    await send(topic, [ 'one', 'two', 'three' ]);
    return (await consumed({ topic, count: 3 })).sort().join(' ');
  },

  async 'consumer of two tags'(topic) {
    await send(topic, [ 'blue', 'red', 'black', 'green' ]);
    return (await consumed({ topic, tags: 'red || green', count: 2 })).sort().join(' ');
  },

  async 'broadcasting consumers'(topic) {
    const all = [ 1, 2 ].map(() => consumed({ topic, count: 2, more: { isBroadcast: true } }));
    await new Promise(resolve => setTimeout(resolve, 3000)); // broadcasting begins at the end of the queues
    await send(topic, [ 'to all', 'to all' ]);
    return (await Promise.all(all)).map(got => got.join(', ')).join(' and ');
  },

  async 'delay level'(topic) {
    await send(topic, [ 'later' ], message => { message.delayTimeLevel = 2; });
    const held = message => `${message.storeTimestamp - message.bornTimestamp >= 2000 ? 'not before' : 'before'} 2 s`;
    return (await consumed({ topic, count: 1, told: held })).join();
  },

  async 'failed message comes again'(topic) {
    await send(topic, [ 'difficult' ]);
    const told = message => {
      if (message.reconsumeTimes === 0 && told.calls++ === 0) throw new Error('not yet');
      return `${message.body} after ${message.reconsumeTimes} retries`;
    };
    told.calls = 0;
    return (await consumed({ topic, count: 1, told })).join();
  },

  async 'offsets are remembered'(topic) {
    await send(topic, [ 'before' ]);
    const first = await consumed({ topic, count: 1 });
    await send(topic, [ 'after' ]);
    return [ ...first, ...await consumed({ topic, count: 1 }) ].join(', then ');
  },
};

async function main() {
  const played = Object.entries(cases).map(async ([ name, play ]) => {
    const topic = `node-${name.replace(/ /g, '-')}`;
    const answer = await play(topic).catch(error => `FAILED: ${error.message}`);
    return JSON.stringify({ case: name, answer });
  });
  for (const line of await Promise.all(played)) console.log(line);
  process.exit(0);
}

main();
