import type { ComponentType } from 'react';
import {
  ChatBubbleIcon,
  DashboardIcon,
  LayersIcon,
  ListBulletIcon,
  LockClosedIcon,
  MixerHorizontalIcon,
  PersonIcon,
  ReaderIcon,
  RocketIcon,
  BarChartIcon,
} from '@radix-ui/react-icons';
import type { Permissions } from '../session/permissions.ts';

export interface Place {
  readonly path: string;
  readonly name: string;
  readonly icon: ComponentType;
  /** Whether the key may do anything there. */
  readonly isFor: (may: Permissions) => boolean;
}

const everybody = (): boolean => true;

/** The pages, in the groups of the navigation. */
export const PLACES: readonly { readonly group: string; readonly places: readonly Place[] }[] = [
  { group: '', places: [{ path: '/', name: 'Overview', icon: DashboardIcon, isFor: everybody }] },
  {
    group: 'Build',
    places: [
      { path: '/train', name: 'Train', icon: RocketIcon, isFor: ({ train }) => train },
      { path: '/jobs', name: 'Jobs', icon: ListBulletIcon, isFor: everybody },
      { path: '/adapters', name: 'Adapters', icon: LayersIcon, isFor: everybody },
    ],
  },
  {
    group: 'Serve',
    places: [
      { path: '/routes', name: 'Routes', icon: MixerHorizontalIcon, isFor: ({ isOperator }) => !isOperator },
      { path: '/playground', name: 'Playground', icon: ChatBubbleIcon, isFor: everybody },
    ],
  },
  {
    group: 'Govern',
    places: [
      { path: '/tenants', name: 'Tenants', icon: PersonIcon, isFor: everybody },
      { path: '/keys', name: 'Keys', icon: LockClosedIcon, isFor: ({ keepKeys }) => keepKeys },
      { path: '/usage', name: 'Usage', icon: BarChartIcon, isFor: everybody },
      { path: '/audit', name: 'Audit', icon: ReaderIcon, isFor: ({ readAudit }) => readAudit },
    ],
  },
];
